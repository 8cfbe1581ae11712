"""How fast a control plane on Postgres reaches machines, and they it: real processes and connections on one host.

`python -m benchmarks.propagation [--subscribers 200] [--publications 60] [--machines 2] [--processes 10]`.

1. A publication, from its commit until the subscriber has read the last byte of it: subscribers spread over two nodes
   and live in one process of their own. Beside it, as the floor, a bare LISTEN that only hears of it.
2. A rollback: from the verdict until each data plane on each machine serves stable again, through relays.
3. An event: from when a data plane has recorded it until it is in the committed evidence.

Everybody shares the cores of one host, so the clock is the same and the load is everybody's.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
import re
import statistics
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
from tests.postgres import PostgresServer, find_binaries

from benchmarks import rollback
from benchmarks.servers.model import free_port
from trimtab.analysis.evidence import decode_evidence
from trimtab.core.clock import SystemClock
from trimtab.policy.keys import create_key
from trimtab.releases.model import Feature, PointerMove
from trimtab.rollout.publishing import no_prices, publish_into
from trimtab.rollout.simulation import synthetic_release
from trimtab.serving.directory import DataDirectory
from trimtab.serving.runtime import DataPlane
from trimtab.storage.postgres import open_postgres

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from trimtab.storage.postgres import PostgresStore

ENVIRONMENT = rollback.ENVIRONMENT
SUBSCRIBED = "subscribed"
EVENTS = 25
_ID = re.compile(rb"id: (\d+)\n")
_EVENT_END = b"\n\n\r\n"


def main() -> None:
    """Measure, or be the subscribers."""
    parser = argparse.ArgumentParser(prog="benchmarks.propagation")
    parser.add_argument("--subscribers", type=int, default=200)
    parser.add_argument("--publications", type=int, default=60)
    parser.add_argument("--features", type=int, default=10)
    parser.add_argument("--machines", type=int, default=2)
    parser.add_argument("--processes", type=int, default=10, help="Data planes on each machine.")
    parser.add_argument("--only", choices=("publications", "rollbacks"))
    parser.add_argument("--subscribe", nargs=3, metavar=("FOLDER", "COUNT", "DOORS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.subscribe:
        asyncio.run(subscribe(Path(options.subscribe[0]), int(options.subscribe[1]), options.subscribe[2].split(",")))
        return
    binaries = find_binaries()
    if binaries is None:
        sys.exit("Postgres is not installed (Debian: apt-get install postgresql)")
    postgres = PostgresServer(binaries)
    try:
        postgres.start()
        with tempfile.TemporaryDirectory(prefix="trimtab-propagation-") as folder:
            if options.only != "rollbacks":
                with site(Path(folder) / "publications", postgres) as opened:
                    publications(opened, options.subscribers, options.publications, options.features)
            if options.only != "publications":
                with site(Path(folder) / "rollbacks", postgres) as opened:
                    rollbacks(opened, options.machines, options.processes)
    finally:
        postgres.remove()


class Site:
    """Two nodes and their store."""

    def __init__(self, folder: Path, url: str, store: PostgresStore, doors: list[int], secret: str) -> None:
        self.folder = folder
        self.url = url
        self.store = store
        self.doors = doors
        self.secret = secret


@contextlib.contextmanager
def site(folder: Path, postgres: PostgresServer) -> Iterator[Site]:
    """Two `trimtab server` on a database of their own."""
    folder.mkdir()
    url = postgres.new_store_url()
    store = open_postgres(url)
    with store.write() as tx:
        _, secret = create_key(tx, "bench", actor="bench", now_ms=SystemClock().now_ms(), role="data-plane")
    doors = [free_port(), free_port()]
    with contextlib.ExitStack() as stack:
        stack.callback(store.close)
        for number, door in enumerate(doors):
            home = folder / f"node-{number}"
            home.mkdir()
            (home / "trimtab.toml").write_text(
                f'directory = "data"\ndatabase = "{url}"\n[server]\nport = {free_port()}\n'
                f'[server.data_planes]\nhost = "127.0.0.1"\nport = {door}\n[evidence]\nlocation = "{folder}/bucket"\n'
            )
            stack.enter_context(rollback.running([sys.executable, "-m", "trimtab", "server"], home))
        for door in doors:
            rollback.wait_for(lambda door=door: answers(door), "a node does not come up")  # type: ignore[misc]
        yield Site(folder, url, store, doors, secret)


def answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5):
            return True
    except OSError:
        return False


def publications(opened: Site, subscribers: int, count: int, features: int) -> None:
    """Publish at random moments; tell how long each subscriber waited for each."""
    serve_features(opened.store, features)
    arguments = ["--subscribe", str(opened.folder), str(subscribers), ",".join(map(str, opened.doors))]
    command = [sys.executable, "-m", "benchmarks.propagation", *arguments]
    floor: dict[int, float] = {}
    listener = threading.Thread(target=listen, args=(opened.url, floor, count), daemon=True)
    os.environ["BENCH_SECRET"] = opened.secret
    with rollback.running(command, Path(__file__).parent.parent):
        rollback.wait_for((opened.folder / SUBSCRIBED).exists, "not every subscriber is connected")
        listener.start()
        time.sleep(1.0)
        committed: dict[int, float] = {}
        size = 0
        for _ in range(count):
            time.sleep(random.uniform(0.1, 0.4))
            with opened.store.write() as tx:
                revision = publish_into(tx, ENVIRONMENT, now_ms=SystemClock().now_ms(), prices=no_prices).revision
                stored = tx.published(ENVIRONMENT)
                size = len(stored.body) if stored else 0
            committed[revision] = time.time()
        time.sleep(2.0)
    took = []
    for line in (opened.folder / "receipts").read_text().splitlines():
        revision_text, at = line.split()
        if int(revision_text) in committed:
            took.append(1000 * (float(at) - committed[int(revision_text)]))
    heard = sorted(1000 * (floor[number] - at) for number, at in enumerate(committed.values()) if number in floor)
    print(
        f"publication of {size / 1000:.0f} kB to {subscribers} subscribers of two nodes, commit to last byte read,"
        f" in ms ({len(took)} receipts of {subscribers * count})"
    )
    print(f"  {spread(took)}")
    print(f"  a bare LISTEN hears of it: {spread(heard)}")


def serve_features(store: PostgresStore, count: int) -> None:
    now_ms = SystemClock().now_ms()
    with store.write() as tx:
        for number in range(count):
            name = f"feature-{number}"
            release = synthetic_release(name, 1)
            tx.put_feature(Feature(name=name, team="bench"))
            tx.add_release(release)
            tx.move_pointer(
                PointerMove(
                    feature=name,
                    environment=ENVIRONMENT,
                    revision=1,
                    from_release=None,
                    to_release=release.digest,
                    at_ms=now_ms,
                    actor="bench",
                    reason="first",
                )
            )


def listen(url: str, heard: dict[int, float], count: int) -> None:
    """Note when each notification arrives at a connection that does nothing else."""
    from trimtab.storage.sql_nodes import SNAPSHOT_CHANNEL

    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"LISTEN {SNAPSHOT_CHANNEL}")
        for number, _ in enumerate(connection.notifies(timeout=300, stop_after=count)):
            heard[number] = time.time()


class Subscriber(asyncio.Protocol):
    """Reads a stream to the last byte of each event."""

    def __init__(self, request: bytes, receipts: list[tuple[int, float]], opened: Callable[[], None]) -> None:
        self._request = request
        self._receipts = receipts
        self._opened = opened
        self._data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._data += data
        if not self._data.endswith(_EVENT_END):
            return
        now = time.time()
        found = _ID.findall(self._data)
        self._data = b""
        self._receipts += [(int(revision), now) for revision in found]
        self._opened()


async def subscribe(folder: Path, count: int, doors: list[str]) -> None:
    """Be all subscribers until stopped."""
    receipts: list[tuple[int, float]] = []
    loop = asyncio.get_running_loop()
    secret = os.environ["BENCH_SECRET"]
    for number in range(count):
        seen = asyncio.Event()
        head = (
            f"GET /api/v1/snapshot/stream?environment={ENVIRONMENT} HTTP/1.1\r\nhost: bench\r\n"
            f"authorization: Bearer {secret}\r\n\r\n"
        )
        await loop.create_connection(
            lambda head=head, seen=seen: Subscriber(head.encode(), receipts, seen.set),  # type: ignore[misc]
            "127.0.0.1",
            int(doors[number % len(doors)]),
        )
        await seen.wait()
    (folder / SUBSCRIBED).touch()
    while True:
        await asyncio.sleep(0.5)
        (folder / "receipts").write_text("\n".join(f"{revision} {at}" for revision, at in receipts))


def rollbacks(opened: Site, machines: int, processes: int) -> None:
    """Time events on their way up, then break the candidate and time stable on its way down."""
    rollout = rollback.start(opened.store)
    homes = [opened.folder / f"machine-{number}" for number in range(machines)]
    with contextlib.ExitStack() as stack:
        for number, home in enumerate(homes):
            home.mkdir()
            servers = ", ".join(f'"http://127.0.0.1:{door}"' for door in opened.doors)
            (home / "trimtab.toml").write_text(
                f'directory = "data"\n[relay]\nservers = [{servers}]\nmachine = "machine-{number}"\n'
                f'[evidence]\nlocation = "{opened.folder}/bucket"\n'
            )
            os.environ["TRIMTAB_RELAY_KEY"] = opened.secret
            stack.enter_context(rollback.running([sys.executable, "-m", "trimtab", "relay"], home))
        for home in homes:
            snapshot = DataDirectory(home / "data").snapshot(ENVIRONMENT)
            rollback.wait_for(snapshot.exists, "a machine got no snapshot")
        events(opened.store, rollout.id, homes[0])
        children = [stack.enter_context(rollback.child(home, n)) for home in homes for n in range(processes)]
        rollback.wait_for(lambda: noted(homes, "ready") == len(children), "not every process came up")
        for home in homes:
            (home / rollback.BREAKS).touch()
        rollback.wait_for(lambda: noted(homes, "switched") == len(children), "not every process went back to stable")
    with opened.store.read() as tx:
        fell = next(one for one in tx.transitions(rollout.id) if one.to_state == "rolling_back")
    took = [float(path.read_text()) - fell.at_ms for home in homes for path in home.glob("switched-*")]
    print(f"rollback, verdict to stable in {len(took)} processes of {machines} machines behind relays, in ms")
    print(f"  {spread(took)}")


def noted(homes: list[Path], what: str) -> int:
    return sum(len(list(home.glob(f"{what}-*"))) for home in homes)


def events(store: PostgresStore, rollout: str, home: Path) -> None:
    """Record single events and wait until each is in the committed evidence."""
    plane = DataPlane.open(DataDirectory(home / "data"), environment=ENVIRONMENT, kind="bench")
    units = [f"unit-{number}" for number in range(20 * EVENTS)]

    def compared() -> list[str]:
        return [unit for unit in units if plane.decide(rollback.FEATURE, unit).arm == "candidate"]

    rollback.wait_for(lambda: len(compared()) > EVENTS, "nobody meets the candidate")
    asked = compared()
    took = []
    for number in range(EVENTS):
        time.sleep(random.uniform(0.2, 0.7))
        rollback.call(plane, asked[number], broken=False)
        at = time.monotonic()
        while folded(store, rollout) <= number:
            time.sleep(0.005)
        took.append(1000 * (time.monotonic() - at))
    plane.close()
    print(f"event, recorded on a machine to committed evidence, in ms ({EVENTS} events, one at a time)")
    print(f"  {spread(took)}")


def folded(store: PostgresStore, rollout: str) -> int:
    with store.read() as tx:
        stored = tx.evidence(rollout)
    return sum(one.candidate for one in decode_evidence(stored).generations.values()) if stored else 0


def spread(values: list[float]) -> str:
    ordered = sorted(values)
    if not ordered:
        return "nothing was measured"
    last = len(ordered) - 1
    return f"half {statistics.median(ordered):.0f}, 99 % {ordered[int(0.99 * last)]:.0f}, last {ordered[last]:.0f}"


if __name__ == "__main__":
    main()
