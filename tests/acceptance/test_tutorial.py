"""The tutorial and the README, typed as they stand: every command runs, and prints the lines the page shows."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.free_port import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "docs" / "tutorial" / "first-rollout.md"]
PORTS = ("9100", "8400", "8401")


def steps(page: Path) -> list[tuple[str, list[str]]]:
    """Every command of the page with the lines shown under it; Python is a command too."""
    found: list[tuple[str, list[str]]] = []
    for language, block in re.findall(r"```(console|python)\n(.*?)```", page.read_text(), re.DOTALL):
        if language == "python":
            found.append((f"python - <<'EOF'\n{block}EOF", []))
            continue
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append((line[2:], []))
            elif found:
                found[-1][1].append(line)
    return found


def squeeze(text: str) -> str:
    return re.sub(r"[ \t]+", " ", text)


def shows(output: str, expected: list[str]) -> bool:
    return all(squeeze(line).strip() in squeeze(output) for line in expected)


def run(command: str, folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", command], cwd=folder, env=environment, capture_output=True, text=True, timeout=60
    )


@pytest.fixture
def servers() -> Iterator[list[subprocess.Popen[bytes]]]:
    started: list[subprocess.Popen[bytes]] = []
    yield started
    for process in reversed(started):
        process.send_signal(signal.SIGTERM)
    for process in started:
        process.wait(timeout=20)


def await_port(port: str) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", int(port))) == 0:
                return
        time.sleep(0.05)
    pytest.fail(f"nothing listens on {port}")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_does_what_it_says(page: Path, tmp_path: Path, servers: list[subprocess.Popen[bytes]]) -> None:
    moved = {port: str(free_port()) for port in PORTS}  # the page's ports may be taken on this machine
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "TRIMTAB_GATEWAY_PORT": moved["8400"],
        "TRIMTAB_SERVER_PORT": moved["8401"],
    }
    environment.pop("TRIMTAB_DIRECTORY", None)
    commands = steps(page)
    assert len(commands) > 10
    for command, expected in commands:
        here = re.sub("|".join(PORTS), lambda port: moved[port[0]], command)
        if re.search(r"&(\s+#.*)?$", here) and not here.startswith("python"):
            here = here.partition("&")[0]
            with (tmp_path / "servers.log").open("ab") as log:
                servers.append(
                    subprocess.Popen(
                        ["bash", "-c", f"exec {here}"], cwd=tmp_path, env=environment, stdout=log, stderr=log
                    )
                )
            await_port(moved[{"sim": "9100", "gateway": "8400", "server": "8401"}[here.split()[1]]])
            continue
        done = run(here, tmp_path, environment)
        if here.startswith("trimtab running") and not shows(done.stdout, expected):
            time.sleep(1.5)  # processes tell what they saw once a second
            done = run(here, tmp_path, environment)
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        assert shows(done.stdout, expected), f"{command}\n{done.stdout}"
