"""Child processes kept alive: what systemd or Kubernetes does in production, small enough for a demo."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Self

import msgspec

from trimtab.core.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from types import TracebackType

__all__ = ["Child", "Supervisor"]

_START_SECONDS = 30.0
_STOP_SECONDS = 15.0
_PROBE_SECONDS = 1.0


class Child(msgspec.Struct, kw_only=True):
    """One supervised process: a `trimtab` command line and the address that says it is ready."""

    name: str
    arguments: list[str]
    ready_url: str
    restarts: int = 0
    process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        return self.process.pid if self.process and self.process.poll() is None else None


class Supervisor:
    """Starts children, restarts those that die, stops them in reverse order.

    Each child's output goes to `<logs>/<name>.log`, appended, so that a crash can be read afterwards.
    """

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        """Children run in `folder`, where their settings are."""
        self._folder = folder
        self._logs = folder / "logs"
        self._environment = environment
        self.children: list[Child] = []

    def __enter__(self) -> Self:
        self._logs.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self, name: str, arguments: Sequence[str], ready_url: str) -> Child:
        """Start a child and wait until `ready_url` answers 2xx; raises `StorageError` with its last words otherwise."""
        child = Child(name=name, arguments=list(arguments), ready_url=ready_url)
        self._spawn(child)
        self.children.append(child)
        self._await_ready(child)
        return child

    def restart_dead(self) -> list[str]:
        """Start again what died since the last call; returns the names."""
        dead = [child for child in self.children if child.process is not None and child.process.poll() is not None]
        for child in dead:
            child.restarts += 1
            self._spawn(child)
        return [child.name for child in dead]

    def stop(self) -> None:
        """Ask every child to finish its work in flight, last started first; kill what does not."""
        for child in reversed(self.children):
            if child.process and child.process.poll() is None:
                child.process.send_signal(signal.SIGTERM)
                try:
                    child.process.wait(timeout=_STOP_SECONDS)
                except subprocess.TimeoutExpired:
                    child.process.kill()
                    child.process.wait()
        self.children.clear()

    def last_words(self, child: Child, lines: int = 12) -> str:
        """Return the end of a child's log."""
        with contextlib.suppress(OSError):
            return "\n".join(self._log(child).read_text(errors="replace").splitlines()[-lines:])
        return ""

    def _log(self, child: Child) -> Path:
        return self._logs / f"{child.name}.log"

    def _spawn(self, child: Child) -> None:
        with self._log(child).open("ab") as log:
            child.process = subprocess.Popen(
                [sys.executable, "-m", "trimtab", *child.arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._folder,
                env=self._environment,
                start_new_session=True,  # Ctrl-C is ours to handle: children are stopped in order
            )

    def _await_ready(self, child: Child) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            if child.process is not None and child.process.poll() is not None:
                break
            if _answers(child.ready_url):
                return
            time.sleep(0.05)
        raise StorageError(
            "process_not_ready",
            f"`trimtab {' '.join(child.arguments)}` did not become ready",
            param=str(self._log(child)),
            hint=f"its last words:\n{self.last_words(child)}",
        )


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=_PROBE_SECONDS) as response:  # noqa: S310 - our own loopback address
            return bool(response.status == 200)  # noqa: PLR2004 - HTTP OK
    except (urllib.error.URLError, OSError):
        return False
