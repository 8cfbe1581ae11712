"""The command line as users have it: processes of `python -m trimtab`, in folders with no settings but their own."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from tests.command_line import run_here

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
