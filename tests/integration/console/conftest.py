"""One `trimtab server` process for all tests of the API and the console, over a directory with hostile content."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from http.client import HTTPConnection, HTTPException
from importlib.resources import as_file, files
from shutil import copytree, ignore_patterns
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import pytest
from tests.free_port import free_port

from trimtab.bootstrap.control import open_control
from trimtab.bootstrap.settings import load_settings
from trimtab.core.ids import id_time_ms, new_id
from trimtab.events import Feedback, Generation, encode_event
from trimtab.serving.journal import JournalWriter
from trimtab.serving.process_status import ProcessStatus, TrafficCount

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from trimtab.serving.directory import DataDirectory

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>"


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    text: str

    @property
    def json(self) -> Any:
        assert self.headers["content-type"] == "application/json"
        return msgspec.json.decode(self.text)


class Site:
    """The server, as a client that sends exactly the headers it is told to."""

    def __init__(self, port: int, generation: str, directory: DataDirectory) -> None:
        self.port = port
        self.directory = directory
        self.generation = generation
        """A recorded generation whose content is hostile."""

    def get(self, path: str, **headers: str) -> Answer:
        return self.send("GET", path, **headers)

    def post(self, path: str, body: str, content_type: str = "application/json") -> Answer:
        return self.send("POST", path, body, **{"Content-Type": content_type})

    def send(self, method: str, path: str, body: str | None = None, **headers: str) -> Answer:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            names = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, names, response.read().decode())
        finally:
            connection.close()


def prepare(root: Path) -> str:
    """Release 1 stable, release 2 pushed, one process seen, one hostile generation; returns its id."""
    folder = root / "support-reply"
    with as_file(files("trimtab.demo") / "support-reply") as example:
        copytree(example, folder, ignore=ignore_patterns("__pycache__"))
    feature = folder / "feature.yaml"
    feature.write_text(feature.read_text().replace("Answers a customer's question", f"Answers {HOSTILE}"))
    plane = open_control(load_settings(environ={"TRIMTAB_DIRECTORY": str(root / ".trimtab"), "TRIMTAB_ACTOR": "ada"}))
    directory = load_settings(environ={"TRIMTAB_DIRECTORY": str(root / ".trimtab")}).data_directory
    try:
        first = plane.push(folder, message=HOSTILE)
        plane.set_pointer("support-reply", "#1", reason=HOSTILE)
        (folder / "partials" / "tone.md").write_text(f"Be {HOSTILE}\n")
        plane.push(folder, message="second")
    finally:
        plane.close()
    now_ms = time.time_ns() // 1_000_000
    call = Generation(
        id=new_id("gen", now_ms),
        at_ms=now_ms,
        feature="support-reply",
        environment="production",
        release=first.digest,
        release_number=1,
        unit=HOSTILE,
        served_model=HOSTILE,
        messages=[{"role": "user", "content": HOSTILE}],
        output=HOSTILE,
        latency_ms=12.5,
    )
    thumb = Feedback(
        id=new_id("fb", now_ms),
        at_ms=now_ms,
        feature="support-reply",
        environment="production",
        generation=call.id,
        name="thumb",
        value=1.0,
        comment=HOSTILE,
    )
    journal = JournalWriter(directory.journals / "p1")
    for event in (call, thumb):
        journal.append(encode_event(event), id_time_ms(call.id))
    journal.close()
    seen = TrafficCount(now_ms - now_ms % 60_000, "support-reply", first.digest, 1, "stable", 42)
    status = ProcessStatus(
        process="p1",
        kind="gateway",
        pid=4711,
        host=HOSTILE,
        environment="production",
        started_ms=now_ms,
        heartbeat_ms=now_ms,
        revision=1,
        traffic=[seen],
    )
    directory.processes.mkdir()
    (directory.processes / "p1.json").write_bytes(msgspec.json.encode(status))
    return call.id


def answers(site: Site) -> bool:
    try:
        return site.get("/healthz").status == 200
    except (OSError, HTTPException):
        return False


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    root = tmp_path_factory.mktemp("site")
    generation = prepare(root)
    port = free_port()
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("TRIMTAB_")}
    environment = inherited | {"TRIMTAB_SERVER_PORT": str(port), "TRIMTAB_ACTOR": "ada"}
    log = root / "server.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "trimtab", "server"], cwd=root, env=environment, stdout=file, stderr=file
        )
    directory = load_settings(environ={"TRIMTAB_DIRECTORY": str(root / ".trimtab")}).data_directory
    started = Site(port, generation, directory)
    try:
        deadline = time.monotonic() + 30
        while not answers(started):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        yield started
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=20)
    assert "Traceback" not in log.read_text()
    assert "next try" not in log.read_text()  # the controller's loop told of no error
