"""One gateway that runs: started, proven to answer what is asked, loaded, frozen while others are."""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import time
from typing import TYPE_CHECKING

import msgspec

from benchmarks.harness.processes import Process

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmarks.harness.kit import Kit, Load
    from benchmarks.harness.workloads import Workload
    from benchmarks.servers.model import Server

__all__ = ["Contender", "NotReadyError", "Sample", "run_contender"]

_WARM_SECONDS = 0.3
_PROOF_SECONDS = 5.0
_WHOLE = 0.9
"""Share of a proven answer's bytes that the answers under load must have on average."""
_POLL_SECONDS = 0.1
_WORD = b"shipped"
"""In every answer of the upstream, and in every content chunk of its streams."""


class NotReadyError(Exception):
    """A gateway did not start, or did not answer as it should: `brief` says what it did instead."""

    def __init__(self, brief: str, log: Path) -> None:
        super().__init__(f"{brief}; its output ends: {_tail(log)}")
        self.brief = brief


@dataclasses.dataclass(frozen=True)
class Sample:
    """One gateway under one workload in one round."""

    server: str
    workload: str
    load: Load
    cpu_us: float
    """CPU time of the gateway per request, in microseconds; 0 for the upstream itself."""


class Contender:
    """A gateway that was started and has answered."""

    def __init__(self, server: Server, process: Process | None, kit: Kit) -> None:
        self.server = server
        self.requests = 0
        """Answered in all, warm-up included."""
        self.answer_bytes: dict[str, int] = {}
        """Size of a proven answer, by workload."""
        self.unanswered: dict[str, str] = {}
        """What it did instead, by workload that it does not answer as it should."""
        self._process = process
        self._kit = kit

    def measure(self, workload: Workload, *, scale: float = 1.0) -> Sample:
        """Warm up, then load for the workload's time; nothing else runs on the core meanwhile."""
        body = workload.write_body(self.server.home, self.server.model)
        self._drive(body, workload.connections, _WARM_SECONDS)
        before = self._process.cpu_ns() if self._process else 0
        load = self._drive(body, workload.connections, workload.seconds * scale)
        after = self._process.cpu_ns() if self._process else 0
        if load.bytes_per_answer < _WHOLE * self.answer_bytes.get(workload.name, 0):
            load = msgspec.structs.replace(load, refused=load.requests, excerpt="answers were cut short")
        return Sample(self.server.name, workload.name, load, (after - before) / 1e3 / max(1, load.requests))

    def _drive(self, body: Path, connections: int, seconds: float) -> Load:
        load = self._kit.drive(self.server, body, connections=connections, seconds=seconds)
        self.requests += load.requests
        return load

    def drive_requests(self, workload: Workload, requests: int) -> Load:
        """Load with a number of requests."""
        body = workload.write_body(self.server.home, self.server.model)
        load = self._kit.drive(self.server, body, connections=workload.connections, requests=requests)
        self.requests += load.requests
        return load

    def rss_bytes(self) -> int:
        """Resident memory of all its processes; 0 for the upstream itself."""
        return self._process.rss_bytes() if self._process else 0

    @contextlib.contextmanager
    def awake(self) -> Iterator[None]:
        """Thawed inside, frozen outside."""
        if self._process:
            self._process.thaw()
        try:
            yield
        finally:
            self.freeze()

    def freeze(self) -> None:
        """Let nothing of it run."""
        if self._process:
            self._process.freeze()


@contextlib.contextmanager
def run_contender(server: Server, kit: Kit, workloads: list[Workload]) -> Iterator[Contender]:
    """Start `server`, wait until it answers as it should, and stop it in the end.

    Raises `NotReadyError` where it does not answer the first workload; another one is noted in `unanswered`.
    """
    if not server.command:
        yield Contender(server, None, kit)
        return
    log = server.home / "output.log"
    if server.port_file:
        server.port_file.unlink(missing_ok=True)
    process = Process(server.command, env=server.env, cwd=server.home, log=log)
    try:
        deadline = time.monotonic() + server.ready_seconds
        server = _with_port(server, process, deadline, log)
        contender = Contender(server, process, kit)
        for number, workload in enumerate(workloads):
            try:
                contender.answer_bytes[workload.name] = _prove(server, workload, process, deadline, log)
            except NotReadyError as reason:
                if number == 0:
                    raise
                contender.unanswered[workload.name] = reason.brief
            else:
                contender.requests += 1
            deadline = time.monotonic() + _PROOF_SECONDS
        yield contender
    finally:
        process.stop()


def _with_port(server: Server, process: Process, deadline: float, log: Path) -> Server:
    if server.port_file is None:
        return server
    while not server.port_file.exists():
        _wait(process, deadline, log, "it told no port")
    return dataclasses.replace(server, port=int(server.port_file.read_text()))


def _prove(server: Server, workload: Workload, process: Process, deadline: float, log: Path) -> int:
    """Ask until it is answered with everything the upstream said; returns the size of the answer's body."""
    expected = workload.chunks if workload.stream else 1
    while True:
        try:
            status, answer = _ask(server, workload)
        except OSError as error:
            problem = repr(error)
        else:
            if status == http.HTTPStatus.OK and answer.count(_WORD) >= expected:
                return len(answer)
            problem = f"{status} with {answer.count(_WORD)} of {expected} pieces: {answer[:300]!r}"
        _wait(process, deadline, log, problem)


def _ask(server: Server, workload: Workload) -> tuple[int, bytes]:
    headers = dict(line.split(": ", 1) for line in server.headers) | {"Content-Type": "application/json"}
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    try:
        connection.request("POST", server.path, workload.body(server.model), headers)
        response = connection.getresponse()
        return response.status, response.read()
    except http.client.HTTPException as error:
        raise ConnectionError(repr(error)) from error
    finally:
        connection.close()


def _wait(process: Process, deadline: float, log: Path, problem: str) -> None:
    if not process.alive:
        raise NotReadyError("it ended", log)
    if time.monotonic() > deadline:
        raise NotReadyError(problem, log)
    time.sleep(_POLL_SECONDS)


def _tail(log: Path) -> str:
    return " / ".join(log.read_text(errors="replace").splitlines()[-4:])[-400:]
