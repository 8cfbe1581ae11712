"""One run from beginning to end: processes up, users calling, releases shipping, things breaking, and the reckoning."""

from __future__ import annotations

import contextlib
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.chaos.callers import Callers
from tests.chaos.disk import SmallDisk
from tests.chaos.moments import after_an_answer, inside_a_commit
from tests.chaos.monkey import Monkey
from tests.chaos.network import Network
from tests.chaos.processes import Cast
from tests.chaos.shipping import BAD, GOOD, Shipping
from tests.chaos.stage import Stage, environment_of, set_stage
from tests.chaos.verdict import Report, audit_fault, compact, kept, lost

from trimtab.bootstrap.store import open_store
from trimtab.core.errors import TrimtabError
from trimtab.evidence.log import read_everything
from trimtab.evidence.objects import open_objects
from trimtab.rollout.controller import CONSUMER
from trimtab.serving.salvage import JournalPosition

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.chaos.stage import Play
    from tests.postgres import PostgresServer

__all__ = ["play"]

_READY_SECONDS = 60.0
_END_SECONDS = 90.0
_DISK_MIB = 384


def play(folder: Path, plan: Play, *, postgres: PostgresServer | None = None) -> Report:
    """Run it in `folder`, which must be empty, and return what came of it."""
    began = time.monotonic()
    with SmallDisk(folder / "disk", mebibytes=_DISK_MIB) as disk, Network() as network:
        stage = set_stage(folder, disk.place, plan, network, postgres.new_database() if postgres else "")
        machine = stage.machine
        shipping = Shipping(stage.control, folder)
        shipping.prologue()
        with Cast(folder, environment_of(stage)) as cast:
            stage.enter(cast, plan, network)
            _await(lambda: _listens(network.gateway_host, machine.gateway.port), folder)
            _await(lambda: all(path.stat().st_size for path in stage.acknowledged), folder)
            base = f"http://{network.gateway_host}:{machine.gateway.port}/v1"
            callers = Callers(base, [GOOD, BAD], rate=plan.rate, seed=plan.seed)
            callers.start()
            shipping.start()
            evidence = Path(machine.evidence_location)
            monkey = Monkey(
                cast,
                disk,
                network,
                machine.data_directory,
                seed=plan.seed,
                apart=plan.apart,
                longest_freeze_seconds=plan.longest_freeze_seconds,
                read=lambda: _read_by_both(stage),
                moments={
                    "gateway worker": lambda _seeded: after_an_answer(callers),
                    "relay" if plan.apart else "server": lambda seeded: inside_a_commit(evidence, seeded),
                },
                postgres=postgres,
            )
            monkey.torment(plan.kills, mean_seconds=plan.mean_seconds)
            ended = shipping.stop(_END_SECONDS)
            callers.stop()
        recorded = [line for path in stage.acknowledged for line in path.read_text().split("\n")[:-1]]
        everything = [*callers.answers, *callers.signals, *recorded]
        at_once = kept(machine)
        compact(machine)
        at_rest = kept(machine)
        return Report(
            seed=plan.seed,
            store="Postgres" if postgres else "SQLite",
            apart=plan.apart,
            seconds=round(time.monotonic() - began, 1),
            kills=dict(monkey.kills),
            faults=dict(monkey.faults),
            answers=len(callers.answers),
            signals=len(callers.signals),
            recorded=len(recorded),
            unanswered=callers.statuses[0],
            events=len(at_rest.ids),
            lost=sorted({*lost(everything, at_once), *lost(everything, at_rest)}),
            duplicates=at_once.duplicates + at_rest.duplicates,
            rollouts=shipping.ended,
            pauses=shipping.pauses,
            unfinished=not ended,
            audit_fault=audit_fault(stage.control),
        )


def _read_by_both(stage: Stage) -> dict[str, JournalPosition]:
    """Return how far each journal is in files and was judged; nothing while the store is away."""
    with contextlib.suppress(TrimtabError, OSError):
        states = read_everything(open_objects(stage.machine.evidence_location), {}).values()
        moved = {process: position for state in states for process, position in state.cursors.items()}
        store = open_store(stage.control)
        try:
            with store.read() as tx:
                cursors = tx.cursors(CONSUMER)
        finally:
            store.close()
        judged = {one.process: JournalPosition(one.segment, one.offset, one.sequence) for one in cursors}
        both = moved.keys() & judged.keys()
        return {one: min(moved[one], judged[one], key=lambda position: position.sequence) for one in both}
    return {}


def _await(condition: Callable[[], bool], folder: Path) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            logs = "\n".join(f"{path.name}:\n{path.read_text()[-2000:]}" for path in (folder / "logs").iterdir())
            raise TimeoutError(f"the processes did not come up:\n{logs}")
        time.sleep(0.1)


def _listens(host: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((host, port)) == 0
