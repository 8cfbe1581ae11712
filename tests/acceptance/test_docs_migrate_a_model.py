"""The page about migrating a model, typed as it stands: two features through all ten states, on real processes."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.acceptance.test_tutorial import await_port, run, shows, steps
from tests.command_line import run_here
from tests.free_port import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "migrate-a-model.md"
PORTS = ("9100", "8400", "8401")
LISTENS = {"sim": "9100", "gateway": "8400", "server": "8401"}
NEEDS_A_PERSON = 1


@pytest.fixture
def servers() -> Iterator[list[subprocess.Popen[bytes]]]:
    started: list[subprocess.Popen[bytes]] = []
    yield started
    for process in reversed(started):
        process.send_signal(signal.SIGTERM)
    for process in started:
        process.wait(timeout=20)


def typed(command: str, folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a command; those of `trimtab migration` in this process, for each start costs a second."""
    if not command.startswith("trimtab migration"):
        return run(command, folder, environment)
    ours = {name: value for name, value in environment.items() if name.startswith("TRIMTAB_")}
    return run_here(folder, *shlex.split(command)[1:], **ours)


@pytest.mark.slow
def test_the_page_does_what_it_says(tmp_path: Path, servers: list[subprocess.Popen[bytes]]) -> None:
    moved = {port: str(free_port()) for port in PORTS}
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("TRIMTAB_")}
    environment = inherited | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "TRIMTAB_GATEWAY_PORT": moved["8400"],
        "TRIMTAB_SERVER_PORT": moved["8401"],
    }
    ran = []
    for command, expected in steps(PAGE):
        here = re.sub("|".join(PORTS), lambda port: moved[port[0]], command)
        if here.endswith(" &"):
            with (tmp_path / "servers.log").open("ab") as log:
                bash = ["bash", "-c", f"exec {here[:-2]}"]
                servers.append(subprocess.Popen(bash, cwd=tmp_path, env=environment, stdout=log, stderr=log))
            if here.startswith("trimtab"):
                await_port(moved[LISTENS[here.split()[1]]])
            continue
        done = typed(here, tmp_path, environment)
        while done.returncode == 0 and "trimtab migration plan" in here and "calls it" not in done.stdout:
            time.sleep(0.2)
            done = typed(here, tmp_path, environment)
        may_need_people = here.startswith("trimtab migration run") and "--follow" not in here
        assert done.returncode in {0, NEEDS_A_PERSON if may_need_people else 0}, (
            f"{command}\n{done.stdout}{done.stderr}"
        )
        assert shows(done.stdout, expected), f"{command}\n{done.stdout}\n{done.stderr}"
        ran.append(here)
    assert sum("trimtab migration" in command for command in ran) > 8
