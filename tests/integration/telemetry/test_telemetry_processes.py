"""Real processes: a caller's trace goes through the gateway to a collector, though the server is killed meanwhile."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING, Any

import pytest
from tests.free_port import free_port

from trimtab.telemetry.otlp_values import attribute_map

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Collector = Any  # the fixture's class lives in conftest


class Site:
    """Simulator, gateway and server over one data directory."""

    def __init__(self, root: Path, collector: str) -> None:
        self.root = root
        self.sim, self.gateway, self.server = free_port(), free_port(), free_port()
        (root / "trimtab.toml").write_text(
            f'[gateway]\nport = {self.gateway}\n[server]\nport = {self.server}\n[otel]\nendpoint = "{collector}"\n'
            f'[providers.openai]\nbase_url = "http://127.0.0.1:{self.sim}/v1"\napi_key_env = ""\n'
        )
        self._processes: list[subprocess.Popen[bytes]] = []
        self.start(self.sim, "/healthz", "sim", "--port", str(self.sim))
        self.start(self.gateway, "/readyz", "gateway")

    def start(self, port: int, probe: str, *command: str) -> subprocess.Popen[bytes]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("TRIMTAB_")}
        log = (self.root / "log").open("ab")
        process = subprocess.Popen(
            [sys.executable, "-m", "trimtab", *command], cwd=self.root, env=inherited, stdout=log, stderr=log
        )
        log.close()
        self._processes.append(process)
        deadline = time.monotonic() + 30
        while not self._answers(port, probe):
            assert process.poll() is None, (self.root / "log").read_text()
            assert time.monotonic() < deadline, (self.root / "log").read_text()
            time.sleep(0.05)
        return process

    def serve(self) -> subprocess.Popen[bytes]:
        return self.start(self.server, "/healthz", "server")

    def _answers(self, port: int, path: str) -> bool:
        connection = HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", path)
            return connection.getresponse().status in {200, 404}
        except (OSError, HTTPException):
            return False
        finally:
            connection.close()

    def ask(self, traceparent: str = "") -> str:
        """Returns the id of the generation."""
        connection = HTTPConnection("127.0.0.1", self.gateway, timeout=20)
        messages = [{"role": "user", "content": "Where is A-1?"}]
        body: dict[str, Any] = {"model": "support-reply", "user": "u", "messages": messages}
        body["trimtab"] = {"variables": {"shop": "Acme"}}
        headers = {"content-type": "application/json"} | ({"traceparent": traceparent} if traceparent else {})
        connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
        answer.read()
        connection.close()
        found = answer.headers["x-trimtab-generation"]
        assert found is not None
        return found

    def close(self) -> None:
        for process in reversed(self._processes):
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                process.wait(20)


@pytest.fixture
def site(tmp_path: Path, collector: Collector, pushed: Callable[[Path], None]) -> Iterator[Site]:
    pushed(tmp_path)
    made = Site(tmp_path, collector.url)
    yield made
    made.close()


def test_traces_of_callers_reach_the_collector_though_the_server_is_killed(
    site: Site, collector: Collector, eventually: Callable[..., None]
) -> None:
    asked = [site.ask() for _ in range(5)]
    server = site.serve()
    eventually(lambda: len(collector.ids()) == 5)
    server.kill()
    server.wait()
    trace, parent = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
    traced = site.ask(f"00-{trace}-{parent}-01")
    site.ask(f"00-{'ab' * 16}-{'cd' * 8}-00")  # its caller did not sample it
    asked += [traced, site.ask()]
    site.serve()
    eventually(lambda: len(collector.ids()) == 7)
    assert collector.ids() == {one[-16:] for one in asked}
    span = next(span for span in collector.spans if span.trace_id.hex() == trace)
    assert (span.parent_span_id.hex(), span.span_id.hex()) == (parent, traced[-16:])
    told = attribute_map(span.attributes)
    assert told["trimtab.release"] == "support-reply#1"
    assert told["gen_ai.usage.output_tokens"] > 0
    assert "gen_ai.input.messages" not in told
