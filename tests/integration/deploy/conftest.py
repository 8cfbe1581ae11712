"""Real processes and users who ask all the time."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import threading
import time
from importlib.resources import as_file, files
from shutil import copytree, ignore_patterns
from typing import TYPE_CHECKING

import pytest

from trimtab.bootstrap.control import open_control
from trimtab.bootstrap.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

QUESTION = json.dumps(
    {
        "model": "support-reply",
        "messages": [{"role": "user", "content": "Where is A-1?"}],
        "trimtab": {"variables": {"shop": "Acme"}},
    }
)


class Running:
    """A process and what it said."""

    def __init__(self, root: Path, command: list[str]) -> None:
        kept = {name: one for name, one in os.environ.items() if not name.startswith(("TRIMTAB_", "PYTHON"))}
        self.process = subprocess.Popen(command, cwd=root, stderr=subprocess.PIPE, text=True, env=kept)
        self.said: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as errors:
            self.said.extend(line.strip() for line in errors)

    def wait_for(self, text: str) -> str:
        """Return the last line with a text, once there is one."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if found := [line for line in self.said if text in line]:
                return found[-1]
            time.sleep(0.02)
        raise AssertionError(self.said)

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(40)
        self._reader.join()


class Users:
    """Half of them keep their connections."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.answered = 0
        self.failed: list[str] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(bool(who % 2),)) for who in range(4)]
        for thread in self._threads:
            thread.start()

    def _ask(self, keeps: bool) -> None:  # noqa: FBT001 - one of two kinds
        connection: http.client.HTTPConnection | None = None
        while not self._stop.is_set():
            try:
                connection = connection or http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
                connection.request("POST", "/v1/chat/completions", QUESTION, {"content-type": "application/json"})
                answer = connection.getresponse()
                said = answer.read()
                if answer.status == 200:
                    self.answered += 1
                else:
                    self.failed.append(f"{answer.status} {said[:200]!r}")
                if not keeps or answer.will_close:
                    connection.close()
                    connection = None
            except (OSError, http.client.HTTPException) as error:
                self.failed.append(repr(error))
                connection = None
        if connection is not None:
            connection.close()

    def wait_for_answers(self, count: int) -> None:
        """Return when so many more were answered."""
        wanted, deadline = self.answered + count, time.monotonic() + 60
        while self.answered < wanted:
            assert time.monotonic() < deadline, self.failed[-3:]
            time.sleep(0.02)

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Starts processes; they are stopped afterwards, the last first."""
    made: list[Running] = []

    def begin(*command: str) -> Running:
        made.append(Running(tmp_path, list(command)))
        return made[-1]

    yield begin
    for one in reversed(made):
        one.stop()


@pytest.fixture
def users() -> Iterator[Callable[[int], Users]]:
    """Begins to ask at a port."""
    made: list[Users] = []

    def begin(port: int) -> Users:
        made.append(Users(port))
        return made[-1]

    yield begin
    for one in made:
        one.stop()


@pytest.fixture
def pushed(tmp_path: Path) -> Path:
    """A folder whose `.trimtab` serves release 1 of `support-reply`."""
    folder = tmp_path / "support-reply"
    with as_file(files("trimtab.demo") / "support-reply") as example:
        copytree(example, folder, ignore=ignore_patterns("__pycache__"))
    plane = open_control(load_settings(environ={"TRIMTAB_DIRECTORY": str(tmp_path / ".trimtab")}))
    plane.push(folder)
    plane.set_pointer("support-reply", "#1", reason="first")
    plane.close()
    return tmp_path
