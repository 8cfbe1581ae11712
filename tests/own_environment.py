"""Other people's packages for tests, in environments of their own: their dependencies are many and contradict ours."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

__all__ = ["python_with"]

_UV = str(Path(sys.executable).with_name("uv"))


def python_with(requirements: Path) -> Path:
    """Return the Python of an environment with these packages, made once per set of versions and kept.

    Skips the test where they cannot be installed.
    """
    wanted = requirements.read_bytes()
    folder = Path(tempfile.gettempdir()) / f"trimtab-clients-{hashlib.sha256(wanted).hexdigest()[:12]}"
    if not (folder / "whole").exists():
        fresh = Path(tempfile.mkdtemp(dir=folder.parent))
        made = subprocess.run(
            [_UV, "venv", "--quiet", "--python", sys.executable, str(fresh / "env")], capture_output=True
        )
        python = fresh / "env" / "bin" / "python"
        command = [_UV, "pip", "install", "--quiet", "--python", str(python), "-r", str(requirements)]
        installed = subprocess.run(command, capture_output=True, text=True)
        if made.returncode or installed.returncode:
            shutil.rmtree(fresh)
            pytest.skip(f"packages could not be installed, so they are not tried: {installed.stderr[-300:]}")
        (fresh / "whole").touch()
        if not folder.exists():  # another worker may have been quicker
            fresh.rename(folder)
    return folder / "env" / "bin" / "python"
