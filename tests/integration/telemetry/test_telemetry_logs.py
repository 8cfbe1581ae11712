"""Every line that gateway and server write parses, tells one schema, and holds no secret and no content."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING, Any

import pytest
from tests.free_port import free_port

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PROMPT = "my-very-private-question"
UPSTREAM_KEY = "sk-upstream-0123456789"
TOKEN = "scraper-token-0123456789"
ALWAYS = {"at", "level", "logger", "pid", "message"}


def send(port: int, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, dict[str, str]]:
    connection = HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        given = {"content-type": "application/json"} | {name.replace("_", "-"): one for name, one in headers.items()}
        connection.request(method, path, None if body is None else json.dumps(body), given)
        answer = connection.getresponse()
        answer.read()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}
    finally:
        connection.close()


class Process:
    def __init__(self, root: Path, port: int, *command: str, environ: dict[str, str]) -> None:
        self.port = port
        self.log = root / f"{command[0]}.log"
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("TRIMTAB_")}
        with self.log.open("wb") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "trimtab", *command], cwd=root, env=inherited | environ, stdout=file, stderr=file
            )
        deadline = time.monotonic() + 30
        while not self._answers():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def _answers(self) -> bool:
        try:
            return send(self.port, "GET", "/healthz")[0] == 200
        except (OSError, HTTPException):
            return False

    def stop(self) -> list[dict[str, Any]]:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(20)
        return [json.loads(line) for line in self.log.read_text().splitlines()]


@pytest.fixture
def root(tmp_path: Path, pushed: Callable[[Path], None]) -> Path:
    (tmp_path / "trimtab.toml").write_text(
        f'[providers.openai]\nbase_url = "http://127.0.0.1:{free_port()}/v1"\napi_key_env = "UPSTREAM"\n'
        '[metrics]\ntoken_env = "SCRAPER"\n[gateway.breaker]\nconsecutive_failures = 2\n'
        "[gateway.retry]\nmax_attempts = 1\n"
    )
    pushed(tmp_path)
    return tmp_path


def test_every_line_parses_and_holds_neither_secrets_nor_content(root: Path) -> None:
    environ = {"UPSTREAM": UPSTREAM_KEY, "SCRAPER": TOKEN, "TRIMTAB_LOG_FORMAT": "json"}
    port, console = free_port(), free_port()
    gateway = Process(root, port, "gateway", "--port", str(port), "--log-format", "json", environ=environ)
    server = Process(root, console, "server", "--port", str(console), environ=environ)
    asked_for = {"model": "support-reply", "messages": [{"role": "user", "content": PROMPT}]}
    body = {**asked_for, "trimtab": {"variables": {"shop": PROMPT}}}
    for _ in range(3):  # nobody listens upstream
        assert send(port, "POST", "/v1/chat/completions", body)[0] in {502, 503}
    sent = {"traceparent": f"00-{'ab' * 16}-{'cd' * 8}-01", "x_request_id": "req-1"}
    status, headers = send(console, "POST", "/api/v1/rollouts", {"feature": PROMPT, "candidate": "#2"}, **sent)
    assert (status, headers["x-request-id"]) == (404, "req-1")
    assert send(console, "GET", f"/api/v1/running?feature={PROMPT}")[1]["x-request-id"].startswith("req_")
    lines = [*gateway.stop(), *server.stop()]
    assert all(set(line) >= ALWAYS for line in lines)
    text = json.dumps(lines)
    assert not [secret for secret in (PROMPT, UPSTREAM_KEY, TOKEN) if secret in text]
    messages = [line["message"] for line in lines]
    assert any(message.startswith("gateway on http://") for message in messages)
    assert any("keeps failing" in message for message in messages)
    (asked,) = [line for line in lines if line["logger"] == "trimtab.api"]
    assert (asked["request"], asked["trace"], asked["status"]) == ("req-1", "ab" * 16, 404)
    assert (asked["method"], asked["path"]) == ("POST", "/api/v1/rollouts")
    circuit = next(line for line in lines if "keeps failing" in line["message"])
    assert (circuit["level"], circuit["provider"], circuit["model"]) == ("warning", "openai", "gpt-4o-mini-2024-07-18")


def test_what_keeps_a_process_from_starting_is_a_line_too(root: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        for command in (
            ["server", "--host", "0.0.0.0", "--log-format", "json"],
            ["gateway", "--workers", "2", "--port", str(taken.getsockname()[1]), "--log-format", "json"],
        ):
            ended = subprocess.run(
                [sys.executable, "-m", "trimtab", *command],
                cwd=root,
                env=os.environ | {"UPSTREAM": UPSTREAM_KEY, "SCRAPER": TOKEN},
                capture_output=True,
                text=True,
                timeout=30,
            )
            assert ended.returncode != 0
            lines = [json.loads(line) for line in ended.stderr.splitlines()]
            assert lines[-1]["level"] in {"error", "critical"}, lines
