"""The command line as users have it: processes of `python -m trimtab`, in folders with no settings but their own."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from trimtab.cli.main import main

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Trimtab = Callable[..., subprocess.CompletedProcess[str]]


def run_trimtab(folder: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("TRIMTAB_")}
    return subprocess.run(
        [sys.executable, "-m", "trimtab", *arguments],
        cwd=folder,
        env=inherited | {"TRIMTAB_ACTOR": "ada"} | environ,
        capture_output=True,
        text=True,
        timeout=60,
    )


def run_here(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The same in this process, where starting it again and again is not what is tested: each start costs a second."""
    out, err = io.StringIO(), io.StringIO()
    status: object = 0
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        patch.chdir(folder)
        for name in [name for name in os.environ if name.startswith("TRIMTAB_")]:
            patch.delenv(name)
        patch.setenv("TRIMTAB_ACTOR", "ada")
        try:
            main(arguments)
        except SystemExit as ended:
            status = ended.code
    return subprocess.CompletedProcess(["trimtab", *arguments], int(str(status or 0)), out.getvalue(), err.getvalue())


@pytest.fixture(scope="module")
def trimtab_here(shop: Path) -> Trimtab:
    """Runs one command in `shop`, in this process."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return run_here(shop, *arguments)

    return run


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The working directory that a module's tests share."""
    return tmp_path_factory.mktemp("shop")


@pytest.fixture(scope="module")
def trimtab(shop: Path) -> Trimtab:
    """Runs one command in `shop`; keywords are environment variables."""

    def run(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        return run_trimtab(shop, *arguments, **environ)

    return run
