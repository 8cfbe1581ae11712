"""A rolling upgrade: the link to the installation is turned, SIGHUP, and no request is lost.

Two installations, told apart by the version that they say they are; the unit starts whichever `current` leads to.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import site
import subprocess
import sys
import sysconfig
import threading
import time
import venv
from importlib.resources import as_file, files
from pathlib import Path
from shutil import copytree, ignore_patterns
from typing import TYPE_CHECKING, Any

import pytest

from trimtab.bootstrap.control import open_control
from trimtab.bootstrap.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Iterator


def install(place: Path, version: str) -> None:
    """Make an installation of this Trimtab that says it is of a version."""
    venv.create(place, symlinks=True, with_pip=False)
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(place)}))
    told = packages / f"trimtab-{version}.dist-info"
    told.mkdir()
    (told / "METADATA").write_text(f"Metadata-Version: 2.1\nName: trimtab\nVersion: {version}\n")
    here = [*site.getsitepackages(), str(Path(__file__).parents[3] / "src")]
    (packages / "here.pth").write_text("\n".join(here) + "\n")


def ask(port: int, method: str, path: str, body: Any = None) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(
            method, path, None if body is None else json.dumps(body), {"content-type": "application/json"}
        )
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


class Users:
    """Who asks all the time, half of them on connections that they keep."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.answered = 0
        self.failed: list[str] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(bool(who % 2),)) for who in range(4)]
        for thread in self._threads:
            thread.start()

    def _ask(self, keeps: bool) -> None:  # noqa: FBT001 - one of two kinds
        body = json.dumps(
            {
                "model": "support-reply",
                "messages": [{"role": "user", "content": "Where is A-1?"}],
                "trimtab": {"variables": {"shop": "Acme"}},
            }
        )
        connection: http.client.HTTPConnection | None = None
        while not self._stop.is_set():
            try:
                connection = connection or http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
                connection.request("POST", "/v1/chat/completions", body, {"content-type": "application/json"})
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

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


class Gateway:
    """Two workers of whichever installation `current` leads to, in front of a simulator."""

    def __init__(self, root: Path) -> None:
        self._environ = {name: one for name, one in os.environ.items() if not name.startswith(("TRIMTAB_", "PYTHON"))}
        self._root = root
        self._processes: list[subprocess.Popen[str]] = []
        self._readers: list[threading.Thread] = []
        _, said = self.start(sys.executable, "sim", "--port", "0")
        upstream = self.wait_for(said, "upstream on ").rpartition(" on ")[2]
        (root / "trimtab.toml").write_text(
            "[gateway]\nworkers = 2\ndrain_idle_seconds = 0.5\n"
            f'[providers.openai]\nbase_url = "{upstream}"\napi_key_env = ""\n'
        )
        self.process, self.said = self.start(str(root / "current" / "bin" / "python"), "gateway", "--port", "0")
        self.port = int(self.wait_for(self.said, "gateway listening").rpartition(":")[2].partition("/")[0])

    def start(self, python: str, *command: str) -> tuple[subprocess.Popen[str], list[str]]:
        process = subprocess.Popen(
            [python, "-m", "trimtab", *command], cwd=self._root, stderr=subprocess.PIPE, text=True, env=self._environ
        )
        errors, said = process.stderr, list[str]()
        assert errors is not None
        self._readers.append(threading.Thread(target=lambda: said.extend(line.strip() for line in errors)))
        self._readers[-1].start()
        self._processes.append(process)
        return process, said

    def wait_for(self, said: list[str], text: str) -> str:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if found := [line for line in said if text in line]:
                return found[-1]
            time.sleep(0.02)
        raise AssertionError(said)

    def version(self) -> str:
        return ask(self.port, "GET", "/metrics")[1].partition('version="')[2].partition('"')[0]

    def stop(self) -> None:
        for process in reversed(self._processes):
            process.terminate()
            process.wait(30)
        for reader in self._readers:
            reader.join()
        for process in self._processes:
            assert process.stderr is not None
            process.stderr.close()


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    install(tmp_path / "v1", "1.0.0")
    install(tmp_path / "v2", "2.0.0")
    (tmp_path / "current").symlink_to("v1")
    folder = tmp_path / "support-reply"
    with as_file(files("trimtab.demo") / "support-reply") as example:
        copytree(example, folder, ignore=ignore_patterns("__pycache__"))
    plane = open_control(load_settings(environ={"TRIMTAB_DIRECTORY": str(tmp_path / ".trimtab")}))
    plane.push(folder)
    plane.set_pointer("support-reply", "#1", reason="first")
    plane.close()
    made = Gateway(tmp_path)
    yield made
    made.stop()


@pytest.mark.slow
def test_an_upgrade_loses_no_request(gateway: Gateway, tmp_path: Path) -> None:
    assert gateway.version() == "1.0.0"
    users = Users(gateway.port)
    try:
        time.sleep(0.5)
        (tmp_path / "next").symlink_to("v2")
        (tmp_path / "next").rename(tmp_path / "current")
        gateway.process.send_signal(signal.SIGHUP)
        gateway.wait_for(gateway.said, "gateway reloaded")
        before = users.answered
        time.sleep(1.0)
        assert users.answered > before
    finally:
        users.stop()
    assert {gateway.version() for _ in range(10)} == {"2.0.0"}
    assert users.failed == []
    assert users.answered > 50
