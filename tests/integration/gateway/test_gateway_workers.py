"""Several gateway processes behind one port: replaced, killed and stopped under load, with real clients."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from trimtab.serving.directory import DataDirectory
from trimtab.serving.snapshot_file import publish
from trimtab.sim.config import SimConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

BODY = json.dumps({"model": "support-reply", "messages": [{"role": "user", "content": "order Q-1"}]}).encode()
STREAM = json.dumps(
    {"model": "support-reply", "stream": True, "messages": [{"role": "user", "content": "Q-1"}]}
).encode()
HEADERS = {"content-type": "application/json"}


class Running:
    """`trimtab gateway --workers 2`, as its operator sees it."""

    def __init__(self, root: Path, upstream: str) -> None:
        self.settings = root / "trimtab.toml"
        self.write(upstream)
        command = [sys.executable, "-m", "trimtab", "--config", str(self.settings), "gateway", "--workers", "2"]
        self.process = subprocess.Popen(
            [*command, "--port", "0"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=root
        )
        self.said: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        self.port = int(self.wait_for("gateway listening").rpartition(":")[2].partition("/")[0])

    def write(self, upstream: str, more: str = "") -> None:
        self.settings.write_text(
            f'directory = "data"\n{more}\n[gateway]\ndrain_idle_seconds = 1.0\ndrain_seconds = 10.0\n'
            f'[providers.openai]\nbase_url = "{upstream}"\napi_key_env = ""\n'
        )

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said.append(line.strip())

    def wait_for(self, text: str, count: int = 1) -> str:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            found = [line for line in self.said if text in line]
            if len(found) >= count:
                return found[-1]
            time.sleep(0.02)
        raise AssertionError(f"waited in vain for `{text}`: {self.said}")

    def reload(self) -> None:
        count = len([line for line in self.said if "gateway reloaded" in line])
        self.process.send_signal(signal.SIGHUP)
        self.wait_for("gateway reloaded", count + 1)

    def workers(self) -> set[int]:
        """Process ids of the workers that answer now."""
        found: set[int] = set()
        for _ in range(40):
            answer = json.loads(call(self.port, "GET", "/healthz"))
            found.add(int(answer["process"].split("-")[1]))
        return found

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait(20)
        self._reader.join()
        assert self.process.stdout is not None
        self.process.stdout.close()


def call(port: int, method: str = "POST", path: str = "/v1/chat/completions", body: bytes = BODY) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request(method, path, body if method == "POST" else None, HEADERS)
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
        return answer.read()
    finally:
        connection.close()


@pytest.fixture
def running(
    tmp_path: Path, stack: Callable[..., Any], release: Callable[..., Any], snapshot: Callable[..., Any]
) -> Iterator[Running]:
    plain = release(system="You answer in JSON.")
    upstream = stack(plain, sim=SimConfig(chunk_gap_ms=30)).upstream_address
    publish(DataDirectory(tmp_path / "run" / "data").snapshot("production"), snapshot(plain))
    here = Running(tmp_path / "run", f"http://{upstream[0]}:{upstream[1]}/v1")
    yield here
    here.close()


class Load:
    """Callers in a closed loop; half of them keep their connection, half open one for each request."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._stop = threading.Event()
        self.answered = 0
        self.failed: list[str] = []
        self._threads = [threading.Thread(target=self._call, args=(kept,)) for kept in (True, True, False, False)]
        for thread in self._threads:
            thread.start()

    def _call(self, kept: bool) -> None:  # noqa: FBT001 - a thread's argument
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=20)
        while not self._stop.is_set():
            try:
                connection.request("POST", "/v1/chat/completions", BODY, HEADERS)
                answer = connection.getresponse()
                answer.read()
                if answer.status != 200:
                    self.failed.append(f"status {answer.status}")
                self.answered += 1
            except (OSError, http.client.HTTPException) as error:
                self.failed.append(repr(error))
                connection.close()
            if not kept:
                connection.close()
        connection.close()

    def end(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


def test_reloading_loses_no_request_on_either_kind_of_connection(running: Running) -> None:
    before = running.workers()
    streamed: list[bytes] = []
    stream = threading.Thread(target=lambda: streamed.append(call(running.port, body=STREAM)))
    load = Load(running.port)
    stream.start()
    for _ in range(3):
        running.reload()
    load.end()
    stream.join()
    assert load.failed == []
    assert load.answered > 100
    assert streamed[0].rstrip().endswith(b"data: [DONE]")
    assert running.workers().isdisjoint(before)


def test_a_worker_that_is_killed_is_replaced_and_the_other_goes_on(running: Running) -> None:
    before = running.workers()
    victim = min(before)
    os.kill(victim, signal.SIGKILL)
    assert f"worker {victim} ended by signal 9" in running.wait_for("gateway died")
    deadline = time.monotonic() + 20
    while len(now := running.workers() - {victim}) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(now) == 2
    assert len(now & before) == 1


def test_a_reload_with_wrong_settings_leaves_the_old_workers_serving(running: Running) -> None:
    before = running.workers()
    good = running.settings.read_text()
    running.settings.write_text(good + "\n[nonsense]\nx = 1\n")
    running.process.send_signal(signal.SIGHUP)
    assert "the new worker did not start" in running.wait_for("gateway reload failed")
    assert any("nonsense" in line for line in running.said)
    assert running.workers() == before
    running.settings.write_text(good)
    running.reload()
    assert running.workers().isdisjoint(before)


def test_workers_leave_when_their_supervisor_is_killed(running: Running) -> None:
    orphans = running.workers()
    running.process.kill()
    deadline = time.monotonic() + 20
    while any(_lives(pid) for pid in orphans) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert [pid for pid in orphans if _lives(pid)] == []


def test_a_stopped_gateway_finishes_what_was_begun(running: Running) -> None:
    streamed: list[bytes] = []
    stream = threading.Thread(target=lambda: streamed.append(call(running.port, body=STREAM)))
    stream.start()
    time.sleep(0.1)
    running.process.terminate()
    assert running.process.wait(20) == 0
    stream.join()
    assert streamed[0].rstrip().endswith(b"data: [DONE]")
    assert running.said[-1].startswith("gateway stopped")


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
