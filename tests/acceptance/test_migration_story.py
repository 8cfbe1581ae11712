"""A migration that is killed in the middle and goes on, and whose new model harms users in canary and comes back."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from tests.command_line import run_here
from tests.free_port import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OLD, NEW = "openai/gpt-4o-mini-2024-07-18", "openai/next-1"
ROLLOUT = """\
window: 1s
minUnits: 10
metrics: [{name: error, margin: 0.05}, {name: schema, margin: 0.05}]
steps:
  - shadow: {traffic: 50, duration: 1s}
  - setWeight: 50
  - analysis: {mode: noHarm, minUnits: 150, maxDuration: 5m}
  - bake: {duration: 1s}
"""
SIM = """\
rules:
  - {name: breaks, when: {model: next-1, userContains: urgent}, invalidJsonRate: 1}
  - {name: old, when: {model: gpt-4o*}, latency: {medianMs: 25}}
"""
"""Nothing recorded before the rollout says `urgent`, so nothing offline can find what the new model does with it."""


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Shop:
    """One feature in a folder, with its processes."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.gateway, self.sim = free_port(), free_port()
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("TRIMTAB_")}
        self.environment = inherited | {
            "TRIMTAB_GATEWAY_PORT": str(self.gateway),
            "TRIMTAB_SERVER_PORT": str(free_port()),
            "TRIMTAB_ACTOR": "ana",
        }
        (root / "trimtab.toml").write_text(
            f'[providers.openai]\nbase_url = "http://127.0.0.1:{self.sim}/v1"\napi_key_env = ""\n'
        )
        (root / "sim.yaml").write_text(SIM)
        self.urgent = False
        self.stop = threading.Event()

    def trimtab(self, *arguments: str, check: bool = True) -> str:
        ours = {name: value for name, value in self.environment.items() if name.startswith("TRIMTAB_")}
        done = run_here(self.root, *arguments, **ours)
        assert done.returncode in ({0} if check else {0, 1}), done.stdout + done.stderr
        return done.stdout

    def migration(self, *arguments: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.trimtab("migration", *arguments, "--json", check=False))
        return found

    @contextmanager
    def process(self, *arguments: str, port: int = 0) -> Iterator[subprocess.Popen[bytes]]:
        command = [sys.executable, "-m", "trimtab", *arguments]
        with (self.root / "log").open("ab") as log:
            process = subprocess.Popen(command, cwd=self.root, env=self.environment, stdout=log, stderr=log)
        try:
            while port and not listens(port):
                assert process.poll() is None, (self.root / "log").read_text()
                time.sleep(0.05)
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=20)

    def ask(self, user: int, text: str) -> None:
        body = {
            "model": "support-reply",
            "user": f"user-{user}",
            "messages": [{"role": "user", "content": text}],
            "trimtab": {"variables": {"shop": "Acme"}},
        }
        url = f"http://127.0.0.1:{self.gateway}/v1/chat/completions"
        request = urllib.request.Request(url, json.dumps(body).encode(), {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=20) as response:
            response.read()

    def traffic(self) -> None:
        number = 0
        while not self.stop.is_set():
            urgent = "urgent: " if self.urgent else ""
            with_order = f"{urgent}where is order A-{1000 + number % 400}?"
            try:
                self.ask(number % 400, with_order)
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
            number += 1
            self.stop.wait(0.01)

    def answers(self) -> int:
        folder = self.root / ".trimtab" / "evals" / "answers"
        return sum(file.read_bytes().count(b"\n") for file in folder.glob("*.jsonl")) if folder.exists() else 0


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    shop = Shop(tmp_path)
    shop.trimtab("init", "support-reply")
    (tmp_path / "support-reply" / "rollout.yaml").write_text(ROLLOUT)
    shop.trimtab("push", "support-reply")
    shop.trimtab("environment", "set", "support-reply", "#1", "--reason", "first")
    sender = threading.Thread(target=shop.traffic)
    with (
        shop.process("sim", "--port", str(shop.sim), "--behaviour", "sim.yaml", port=shop.sim),
        shop.process("gateway", port=shop.gateway),
        shop.process("server"),
    ):
        sender.start()
        try:
            yield shop
        finally:
            shop.stop.set()
            sender.join()


def fork(status: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = status["forks"][0]
    return found


@pytest.mark.slow
def test_killed_in_the_middle_it_goes_on_and_a_harmful_canary_comes_back(shop: Shop) -> None:
    plan = ("plan", "--from", OLD, "--to", NEW, "--golden-items", "80", "--min-items", "40")
    time.sleep(4)  # traffic to draw items from
    assert fork(shop.migration(*plan))["state"] == "golden"
    kill_while_it_asks(shop)
    status = shop.migration("run")
    assert fork(status)["state"] == "lint", fork(status)
    shop.migration("ack", "--reason", "the table does not know it")
    status = shop.migration("run")
    assert (fork(status)["state"], fork(status)["standing"]) == ("shadow", "held"), fork(status)
    candidate = fork(status)["candidate"]
    shop.migration("approve", "--reason", "the diff is clean")
    shop.urgent = True  # nothing of the kind was recorded before
    deadline = time.monotonic() + 150
    while fork(status)["state"] != "adapt":
        assert time.monotonic() < deadline, fork(status)
        time.sleep(1)
        status = shop.migration("run")
    assert fork(status)["standing"] == "blocked"
    assert "rolled_back" in fork(status)["blocked_by"][0]
    assert "schema" in fork(status)["blocked_by"][0]
    running = json.loads(shop.trimtab("running", "support-reply", "--json"))
    assert running["features"][0]["stable"] == "support-reply#1"
    status = shop.migration("run")  # adapts anew, without what was rolled back
    assert fork(status)["candidate"] != candidate
    shop.trimtab("audit", "verify")


def kill_while_it_asks(shop: Shop) -> None:
    """Kill -9 in the middle of the old model's answers; what was answered is kept, and asked by nobody again."""
    with shop.process("migration", "run") as killed:
        while shop.answers() < 20:
            assert killed.poll() is None
            time.sleep(0.01)
        killed.kill()
        killed.wait()
    kept = shop.answers()
    assert fork(shop.migration("status"))["state"] == "golden"
    shop.migration("run")
    golden = json.loads(shop.trimtab("migration", "show", "golden", "--fork", "support-reply"))
    assert golden["failures"]["asked"] == 2 * golden["count"]
    books = sorted((shop.root / ".trimtab" / "evals" / "answers").glob("*.jsonl"))
    lines = [json.loads(line) for book in books for line in book.read_text().splitlines()]
    assert len({(one["key"], one.get("sample", 0)) for one in lines}) == len(lines) > kept
