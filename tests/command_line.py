"""The command line in this process, where starting it again and again is not what is tested."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from trimtab.cli.main import main

if TYPE_CHECKING:
    from pathlib import Path


def run_here(folder: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a command as a new process in `folder` would, without starting one: each start costs a second."""
    out, err = io.StringIO(), io.StringIO()
    status: object = 0
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        patch.chdir(folder)
        for name in [name for name in os.environ if name.startswith("TRIMTAB_")]:
            patch.delenv(name)
        for name, value in ({"TRIMTAB_ACTOR": "ada"} | environ).items():
            patch.setenv(name, value)
        try:
            main(arguments)
        except SystemExit as ended:
            status = ended.code
    return subprocess.CompletedProcess(["trimtab", *arguments], int(str(status or 0)), out.getvalue(), err.getvalue())
