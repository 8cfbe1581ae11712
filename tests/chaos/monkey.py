"""What goes wrong, in an order that a seed decides."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections import Counter
from typing import TYPE_CHECKING, Literal

from tests.chaos.damage import flip_a_bit, tear

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tests.chaos.disk import SmallDisk
    from tests.chaos.network import Cable, Network
    from tests.chaos.processes import Cast
    from tests.postgres import PostgresServer

    from trimtab.serving.directory import DataDirectory
    from trimtab.serving.journal_reader import JournalPosition

__all__ = ["Monkey"]

Fault = Literal["kill", "freeze", "tear", "flip", "fill", "cut", "crash"]

_ROLES = {"gateway worker": 0.4, "writer": 0.35, "server": 0.2, "gateway": 0.05}
"""Who is killed how often. `server` holds the controller and the compactor, `writer` an application's SDK."""
_APART = {"gateway worker": 0.3, "writer": 0.3, "server": 0.2, "relay": 0.15, "gateway": 0.05}
"""On several machines the relay holds the compactor."""
_AGAIN_SECONDS = 0.1


class Monkey:
    """Breaks things, one after the other, and counts what it broke."""

    def __init__(
        self,
        cast: Cast,
        disk: SmallDisk,
        network: Network,
        directory: DataDirectory,
        *,
        seed: int,
        apart: bool,
        longest_freeze_seconds: float,
        read: Callable[[], Mapping[str, JournalPosition]],
        moments: Mapping[str, Callable[[random.Random], None]],
        postgres: PostgresServer | None = None,
    ) -> None:
        """`read` returns how far journals are in files and judged; `moments` wait until killing a role hurts most."""
        self._cast = cast
        self._disk = disk
        self._network = network
        self._directory = directory
        self._seeded = random.Random(seed)
        self._roles = _APART if apart else _ROLES
        self._cables: list[Cable] = ["callers", "upstream", "control", "control"] if apart else ["callers", "upstream"]
        self._longest_freeze = longest_freeze_seconds
        self._compacts = "relay" if apart else "server"
        self._read = read
        self._moments = moments
        self._postgres = postgres
        self.kills: Counter[str] = Counter()
        """By role."""
        self.faults: Counter[str] = Counter()
        """Everything else."""

    def torment(self, kills: int, *, mean_seconds: float) -> None:
        """Kill `kills` times, and do the rest in between."""
        for fault in self._order(kills):
            getattr(self, f"_{fault}")()
            time.sleep(self._seeded.expovariate(1 / mean_seconds))

    def _order(self, kills: int) -> list[Fault]:
        some = max(1, kills // 40)
        counts: dict[Fault, int] = {
            "kill": kills - 2 * some,  # the torn ones are killed too
            "tear": 2 * some,
            "flip": 2 * some,
            "freeze": 2 * some,
            "fill": some if self._disk.small else 0,
            "cut": 2 * some if self._network.apart else 0,
            "crash": some if self._postgres is not None else 0,
        }
        order = [fault for fault, count in counts.items() for _ in range(count)]
        self._seeded.shuffle(order)
        return order

    def _kill(self) -> None:
        """Kill a process of some role; waits for one that lives."""
        (role,) = self._seeded.choices(list(self._roles), weights=list(self._roles.values()))
        self._kill_one(role)

    def _kill_one(self, role: str) -> int:
        while True:
            pids = self._cast.pids(role)
            if pids:
                moment = self._moments.get(role)
                if moment is not None:
                    moment(self._seeded)
                pid = self._seeded.choice(pids)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    self.kills[role] += 1
                    return pid
            time.sleep(_AGAIN_SECONDS)

    def _freeze(self) -> None:
        """Stop a process: to others it is neither there nor gone. A server perhaps until its lease is another's."""
        role = self._seeded.choice(["gateway worker", "writer", "server", self._compacts])
        pids = self._cast.pids(role)
        if pids:
            with _frozen([self._seeded.choice(pids)]):
                time.sleep(self._seeded.uniform(0.5, self._longest_freeze if role == "server" else 2.0))
            self.faults["SIGSTOP"] += 1

    def _tear(self) -> None:
        """Kill a process that records, and leave half a frame behind before anybody has salvaged it."""
        with _frozen([*self._cast.pids("server"), *self._cast.pids("relay")]):
            pid = self._kill_one(self._seeded.choice(["gateway worker", "writer"]))
            for folder in self._directory.journals.glob(f"*-{pid}-*"):
                deadline = time.monotonic() + 2.0
                while not (torn := tear(folder, self._seeded)) and time.monotonic() < deadline:
                    time.sleep(0.01)  # it is dying
                self.faults["torn tail"] += torn

    def _flip(self) -> None:
        """Flip a bit in the journal of a dead process that everybody has read."""
        read = self._read()
        folders = sorted(self._directory.journals.glob("*-*"))
        self._seeded.shuffle(folders)
        with contextlib.suppress(OSError):  # pruned meanwhile
            self.faults["bit flip"] += any(flip_a_bit(folder, read, self._seeded) for folder in folders)

    def _fill(self) -> None:
        """Fill the disk for a second or two."""
        self._disk.fill()
        time.sleep(self._seeded.uniform(0.5, 2.0))
        self._disk.empty()
        self.faults["full disk"] += 1

    def _cut(self) -> None:
        """Cut a cable of the gateway for a second or two."""
        cable = self._seeded.choice(self._cables)
        self._network.cut(cable)
        time.sleep(self._seeded.uniform(0.3, 1.5) * (4 if cable == "control" else 1))
        self._network.mend(cable)
        self.faults[f"network cut ({cable})"] += 1

    def _crash(self) -> None:
        """Crash the database and start it again."""
        if self._postgres is not None:
            self._postgres.stop(how="immediate")
            time.sleep(self._seeded.uniform(0.2, 1.0))
            self._postgres.start()
            self.faults["Postgres crash"] += 1


@contextlib.contextmanager
def _frozen(pids: list[int]) -> Iterator[None]:
    """Stop processes for as long as this lasts."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
