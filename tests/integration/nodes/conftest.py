"""Control-plane nodes and machines with data planes, each in a data directory of its own, as real processes."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from http.client import HTTPConnection, HTTPException
from importlib.resources import as_file, files
from shutil import copytree, ignore_patterns
from typing import TYPE_CHECKING, Any

import pytest
from tests.free_port import free_port

from trimtab.analysis.evidence import decode_evidence
from trimtab.bootstrap.control import open_control
from trimtab.bootstrap.settings import load_settings
from trimtab.bootstrap.store import open_store
from trimtab.events import Generation
from trimtab.rollout.controller import LEASE
from trimtab.serving.journal_reader import JournalPosition, read_journal, salvage
from trimtab.serving.process_status import read_processes, stale_reason
from trimtab.serving.snapshot_file import read_snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from trimtab.rollout.model import Rollout
    from trimtab.rollout.ports import Lease

FEATURE, ENVIRONMENT = "support-reply", "production"
PATIENCE_SECONDS = 90.0
_PROMPT = "Reply with one JSON object and nothing else: answer, order_id, next_step."
_BREAKS = "Explain your reasoning. " + _PROMPT
_MENDED = _PROMPT + "\n      Explain your reasoning inside `answer`."
_UPSTREAM = {
    "rules": [
        {"when": {"systemContains": "reasoning inside"}, "latency": {"medianMs": 5}},
        {"when": {"systemContains": "Explain your reasoning"}, "fenceRate": 1.0, "latency": {"medianMs": 5}},
        {"latency": {"medianMs": 5}},
    ]
}
PLAN = """\
window: 1s
metrics:
  - {name: format, margin: 0.2}
steps:
  - setWeight: 50
  - pause: {}
"""
"""Half of all users, until somebody resumes it."""


def wait(happened: Callable[[], Any], what: str) -> Any:
    """Return what `happened` does, once it is true."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (found := happened()):
        assert time.monotonic() < deadline, what
        time.sleep(0.05)
    return found


class Process:
    """One `trimtab` process, killed and started again as wished."""

    def __init__(self, folder: Path, arguments: list[str], variables: dict[str, str]) -> None:
        self.folder = folder
        self._arguments = arguments
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("TRIMTAB_")}
        self._environment = inherited | variables
        self._process: subprocess.Popen[bytes] | None = None
        self._log = folder / f"{arguments[0]}.log"

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "trimtab", *self._arguments],
                cwd=self.folder,
                env=self._environment,
                stdout=log,
                stderr=log,
            )

    def end(self, how: int = signal.SIGTERM) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(timeout=60)
            self._process = None

    def send(self, what: int) -> None:
        assert self._process is not None
        self._process.send_signal(what)

    def said(self) -> str:
        return self._log.read_text() if self._log.exists() else ""


class Node:
    """A control-plane node."""

    def __init__(self, folder: Path, variables: dict[str, str], *, evidence: Path, database: str) -> None:
        folder.mkdir()
        self.folder = folder
        self.port, self.door = free_port(), free_port()
        self.address = f"http://127.0.0.1:{self.door}"
        (folder / "trimtab.toml").write_text(
            f'database = "{database}"\n'
            f"[server]\nport = {self.port}\ntick_seconds = 0.2\n"
            f'[server.data_planes]\nhost = "127.0.0.1"\nport = {self.door}\n'
            f'[evidence]\nlocation = "{evidence}"\ncompact_seconds = 1.0\n'
        )
        self.settings = load_settings(
            config=folder / "trimtab.toml", environ={}, flags={"directory": str(folder / ".trimtab")}
        )
        self.process = Process(folder, ["server"], variables)

    def start(self) -> None:
        self.process.start()

    def is_up(self) -> bool:
        return ask(self.door, "GET", "/healthz")[0] == 200

    def get(self, path: str) -> Any:
        status, _, body = ask(self.port, "GET", path)
        assert status == 200, body
        return json.loads(body)


class Machine:
    """A machine with a gateway of two workers, and a relay."""

    def __init__(
        self, folder: Path, variables: dict[str, str], *, evidence: Path, servers: list[str], sim: int
    ) -> None:
        folder.mkdir()
        self.folder = folder
        self.name = folder.name
        self.port = free_port()
        (folder / "trimtab.toml").write_text(
            f"[gateway]\nport = {self.port}\nworkers = 2\n"
            f'[relay]\nservers = {json.dumps(servers)}\nmachine = "{self.name}"\n'
            f'[evidence]\nlocation = "{evidence}"\ncompact_seconds = 1.0\n'
            f'[providers.openai]\nbase_url = "http://127.0.0.1:{sim}/v1"\napi_key_env = ""\n'
        )
        directory = load_settings(environ={"TRIMTAB_DIRECTORY": str(folder / ".trimtab")}).data_directory
        self.directory = directory
        self.gateway = Process(folder, ["gateway"], {})
        self.relay = Process(folder, ["relay"], variables)

    @property
    def revision(self) -> int:
        snapshot = read_snapshot(self.directory.snapshot(ENVIRONMENT))
        return 0 if snapshot is None else snapshot.revision

    def is_up(self) -> bool:
        return ask(self.port, "GET", "/readyz")[0] == 200

    def flushed(self, since_ms: int) -> bool:
        """Whether every live process says, since then, that what it recorded is in its journal."""
        now_ms = time.time_ns() // 1_000_000
        found = read_processes(self.directory.processes, environment=ENVIRONMENT, now_ms=now_ms)
        live = [one for one in found if not stale_reason(one, declared_revision=0, published_ms=0, now_ms=now_ms)]
        return bool(live) and all(one.heartbeat_ms > since_ms and one.durable == one.recorded for one in live)

    def recorded(self, rollout: str) -> Counter[str]:
        """Ids of what the journals hold of a rollout's candidate and its control."""
        salvage(self.directory.journals)
        found: Counter[str] = Counter()
        for folder in self.directory.journals.iterdir():
            position = JournalPosition()
            while (batch := read_journal(folder, position)).events:
                found.update(
                    event.id
                    for event in batch.events
                    if isinstance(event, Generation)
                    and event.rollout == rollout
                    and event.arm in {"candidate", "matched_control"}
                )
                position = batch.position
        return found


def ask(
    port: int, method: str, path: str, body: bytes | None = None, **headers: str
) -> tuple[int, dict[str, str], bytes]:
    """Return status, headers and body; 0 where nobody answers."""
    connection = HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        return response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
    except (OSError, HTTPException):
        return 0, {}, b""
    finally:
        connection.close()


class Crowd:
    """Users, each of whom asks once, spread over machines."""

    def __init__(self, ports: list[int]) -> None:
        self.failed: list[str] = []
        self.answered = 0
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(port, n)) for n in range(2) for port in ports]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()

    def _ask(self, port: int, who: int) -> None:
        count = 0
        while not self._stop.wait(0.05):
            count += 1
            body = {
                "model": FEATURE,
                "user": f"user-{port}-{who}-{count}",
                "messages": [{"role": "user", "content": "Where is order A-1007?"}],
                "trimtab": {"variables": {"shop": "Acme"}},
            }
            head = {"content-type": "application/json"}
            status, _, answer = ask(port, "POST", "/v1/chat/completions", json.dumps(body).encode(), **head)
            if status == 200:
                self.answered += 1
            else:
                self.failed.append(f"{status} {answer[:300]!r}")


class Cluster:
    """Nodes on one store, machines, an upstream and users."""

    def __init__(self, root: Path, *, nodes: int, machines: int, database: str = "") -> None:
        self.root = root
        evidence, sim = root / "bucket", free_port()
        self.variables: dict[str, str] = {}
        self.nodes = [
            Node(root / f"node-{n}", self.variables, evidence=evidence, database=database) for n in range(nodes)
        ]
        self._prepare()
        servers = [node.address for node in self.nodes]
        self.machines = [
            Machine(root / f"machine-{n}", self.variables, evidence=evidence, servers=servers, sim=sim)
            for n in range(machines)
        ]
        (root / "upstream.json").write_text(json.dumps(_UPSTREAM))
        self.upstream = Process(root, ["sim", "--port", str(sim), "--behaviour", str(root / "upstream.json")], {})
        self.crowd = Crowd([machine.port for machine in self.machines])

    def _prepare(self) -> None:
        """Release 1 serves; 2 breaks its format for everybody, 3 does not."""
        folder = self.root / FEATURE
        with as_file(files("trimtab.demo") / FEATURE) as example:
            copytree(example, folder, ignore=ignore_patterns("__pycache__"))
        (folder / "rollout.yaml").write_text(PLAN)
        prompt = folder / "support-reply.prompt.yml"
        self.plane = open_control(self.nodes[0].settings)
        self.plane.push(folder)
        self.plane.set_pointer(FEATURE, "#1", reason="first")
        first = prompt.read_text()
        for text in (_BREAKS, _MENDED):
            prompt.write_text(first.replace(_PROMPT, text))
            self.plane.push(folder)
        key, secret = self.plane.create_key("ops", "data-plane")
        self.key, self.secret = key.id, secret
        self.variables["TRIMTAB_RELAY_KEY"] = secret
        self.store = open_store(self.nodes[0].settings)

    def start(self) -> None:
        self.upstream.start()
        for node in self.nodes:
            node.start()
        for machine in self.machines:
            machine.relay.start()
        wait(lambda: all(node.is_up() for node in self.nodes), "a node does not come up")
        wait(lambda: all(machine.revision for machine in self.machines), "a machine gets no snapshot")
        for machine in self.machines:
            machine.gateway.start()
        wait(lambda: all(machine.is_up() for machine in self.machines), "a gateway does not come up")

    def stop(self) -> None:
        self.crowd.stop()
        for machine in self.machines:
            machine.gateway.end()
            machine.relay.end()
        for node in self.nodes:
            node.process.end()
        self.upstream.end()
        self.plane.close()
        self.store.close()

    def lease(self) -> Lease | None:
        with self.store.read() as tx:
            return tx.lease(LEASE)

    def leader(self) -> Node:
        def found() -> Node | None:
            lease = self.lease()
            held = lease is not None and lease.expires_at_ms > time.time() * 1000
            return next((node for node in self.nodes if held and lease and node.address == lease.address), None)

        node: Node = wait(found, "nobody leads")
        return node

    def rollout(self, which: str) -> Rollout:
        with self.store.read() as tx:
            rollout = tx.rollout(which)
        assert rollout is not None
        return rollout

    def await_state(self, rollout: str, *states: str) -> None:
        wait(lambda: self.rollout(rollout).state in states, f"{rollout} does not come to {states}: {self.said()}")

    def folded(self, rollout: str) -> int:
        """Generations of candidate and control that are evidence."""
        with self.store.read() as tx:
            stored = tx.evidence(rollout)
        return (
            0 if stored is None else sum(a.control + a.candidate for a in decode_evidence(stored).generations.values())
        )

    def recorded(self, rollout: str) -> Counter[str]:
        """Of all machines, once the last of it has left their buffers."""
        since_ms = time.time_ns() // 1_000_000
        wait(lambda: all(machine.flushed(since_ms) for machine in self.machines), "a gateway does not flush")
        return sum((machine.recorded(rollout) for machine in self.machines), Counter())

    def said(self) -> str:
        parts = [node.process for node in self.nodes] + [machine.relay for machine in self.machines]
        return "\n".join(f"{part.folder.name}: {part.said()[-1500:]}" for part in parts)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Callable[..., Cluster]]:
    """Makes clusters; what they started is gone afterwards."""
    made: list[Cluster] = []

    def make(**how: Any) -> Cluster:
        made.append(Cluster(tmp_path, **how))
        return made[-1]

    yield make
    for one in made:
        with contextlib.suppress(subprocess.TimeoutExpired):
            one.stop()


@pytest.fixture(name="ask")
def ask_over_http() -> Callable[..., tuple[int, dict[str, str], bytes]]:
    """Sends one request."""
    return ask


@pytest.fixture
def eventually() -> Callable[[Callable[[], Any], str], Any]:
    """Waits until something holds."""
    return wait
