"""The data plane as a compiled wheel has it: built from this tree, and unpacked where Python can import it."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import tomllib
import zipfile
from pathlib import Path

__all__ = ["compiled_data_plane", "compiled_modules", "missing_tools"]

_ROOT = Path(__file__).parent.parent.parent
_FOLDER = _ROOT / ".bench" / "compiled"
_STAMP = "built-from.txt"


def compiled_modules() -> list[str]:
    """Return the paths of the modules that are compiled, beginning with the package's name."""
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text())
    modules: list[str] = project["tool"]["hatch"]["build"]["targets"]["wheel"]["hooks"]["custom"]["modules"]
    return modules


def missing_tools() -> str:
    """Say what this machine lacks for compiling; empty where it lacks nothing."""
    if not any(map(shutil.which, ("cc", "gcc", "clang"))):
        return "there is no C compiler"
    if not (Path(sysconfig.get_path("include")) / "Python.h").exists():
        return "there are no headers of this Python"
    return ""


def compiled_data_plane() -> Path:
    """Return the folder to import it from, built anew where a source has changed; raises `RuntimeError`."""
    _FOLDER.mkdir(parents=True, exist_ok=True)
    with (_FOLDER.parent / "compiled.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        wanted = _fingerprint()
        stamp = _FOLDER / _STAMP
        if not stamp.exists() or stamp.read_text() != wanted:
            shutil.rmtree(_FOLDER)
            _build()
            stamp.write_text(wanted)
    return _FOLDER


def _fingerprint() -> str:
    digest = hashlib.sha256(sys.version.encode())
    for path in [_ROOT / "pyproject.toml", _ROOT / "hatch_build.py", *sorted((_ROOT / "src").rglob("*.py"))]:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _build() -> None:
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder],
            cwd=_ROOT,
            env=os.environ | {"HATCH_BUILD_HOOKS_ENABLE": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"the wheel could not be built:\n{done.stdout}{done.stderr}")
        [wheel] = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(_FOLDER)
