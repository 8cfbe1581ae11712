"""Peers in environments of their own, under `.bench/`: what a peer needs never mixes with what Trimtab needs."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
import sys
import venv
from pathlib import Path

__all__ = ["Environments", "UnavailableError"]

_INSTALL_SECONDS = 900
_STAMP = "installed.txt"


class UnavailableError(Exception):
    """A peer cannot be measured on this machine; the message says why."""


@dataclasses.dataclass(frozen=True)
class Environments:
    """Installs what is missing; what is there is left alone until its requirements change."""

    folder: Path

    def python(self, name: str, *requirements: str) -> Path:
        """Return the `bin` folder of a virtual environment with `requirements`; raises `UnavailableError`."""
        home = self.folder / name
        if not self._is_installed(home, requirements):
            print(f"  installing {', '.join(requirements)}", flush=True)
            if not (home / "bin" / "python").exists():
                venv.create(home, with_pip=True, clear=home.exists(), symlinks=True)
            self._install(self._pip(home), requirements, home)
        return home / "bin"

    def node(self, name: str, package: str) -> Path:
        """Return the folder `node_modules` with `package`; raises `UnavailableError`."""
        home = self.folder / name
        npm = shutil.which("npm")
        if npm is None:
            raise UnavailableError("npm is not installed")
        if not self._is_installed(home, (package,)):
            print(f"  installing {package}", flush=True)
            home.mkdir(parents=True, exist_ok=True)
            self._install(
                [npm, "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(home)], (package,), home
            )
        return home / "node_modules"

    def program(self, name: str) -> Path:
        """Return a program of the system; raises `UnavailableError`."""
        found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
        if found is None:
            raise UnavailableError(f"{name} is not installed on this machine")
        return Path(found)

    @staticmethod
    def _is_installed(home: Path, requirements: tuple[str, ...]) -> bool:
        stamp = home / _STAMP
        return stamp.exists() and stamp.read_text().split("\n") == list(requirements)

    @staticmethod
    def _pip(home: Path) -> list[str]:
        uv = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))
        python = str(home / "bin" / "python")
        if uv:
            return [uv, "pip", "install", "--quiet", "--python", python]
        return [python, "-m", "pip", "install", "--quiet"]

    @staticmethod
    def _install(installer: list[str], requirements: tuple[str, ...], home: Path) -> None:
        try:
            done = subprocess.run(
                [*installer, *requirements], capture_output=True, text=True, check=False, timeout=_INSTALL_SECONDS
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise UnavailableError(f"cannot install {requirements[0]}: {error}") from error
        if done.returncode:
            lines = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()]
            raise UnavailableError(f"cannot install {requirements[0]}: {' '.join(lines[-3:])[:300]}")
        (home / _STAMP).write_text("\n".join(requirements))
