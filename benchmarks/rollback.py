"""From the verdict to stable everywhere: real processes, a real server, a candidate that breaks its format.

`python -m benchmarks.rollback [--processes 50]`. Each process is a data plane that serves ten units a second and looks
every 5 ms at what a unit of the candidate would meet now. The verdict's time is that of the transition to
`rolling_back`; all clocks are the same one. Breaking the format is no error, so no process helps itself: what is
measured is the way through the control plane.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.servers.model import free_port
from trimtab.analysis.model import MetricSpec
from trimtab.core.clock import SystemClock
from trimtab.core.ids import new_id
from trimtab.events import Generation
from trimtab.releases.model import Feature, PointerMove
from trimtab.rollout.commands import RolloutRequest, start_rollout
from trimtab.rollout.simulation import synthetic_release
from trimtab.rollout.spec import PauseStep, RolloutPlan, Step
from trimtab.serving.directory import DataDirectory
from trimtab.serving.runtime import DataPlane
from trimtab.storage.sqlite import SqliteStore, open_sqlite

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from trimtab.rollout.model import Rollout

FEATURE, ENVIRONMENT = "support-reply", "production"
LOOK_SECONDS = 0.005
CALL_SECONDS = 0.1
PATIENCE_SECONDS = 120.0
BREAKS = "breaks"
"""The file whose coming breaks the candidate."""


def main() -> None:
    """Measure, or be one of the measured."""
    parser = argparse.ArgumentParser(prog="benchmarks.rollback")
    parser.add_argument("--processes", type=int, default=50)
    parser.add_argument("--serve", nargs=2, metavar=("FOLDER", "NUMBER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(Path(options.serve[0]), int(options.serve[1]))
        return
    with tempfile.TemporaryDirectory(prefix="trimtab-rollback-") as folder:
        verdict_ms, switched_ms = measure(Path(folder), options.processes)
    took = sorted(at_ms - verdict_ms for at_ms in switched_ms)
    print(f"{len(took)} processes of {options.processes} back on stable after the verdict, in ms:")
    print(f"  half {statistics.median(took):.0f}, 99 % {took[int(0.99 * (len(took) - 1))]:.0f}, last {took[-1]:.0f}")


def measure(folder: Path, processes: int) -> tuple[float, list[float]]:
    """Return when the verdict fell and when each process met stable again, in milliseconds since the epoch."""
    directory = DataDirectory(folder / "data")
    store = open_sqlite(directory.database)
    rollout = start(store)
    with contextlib.ExitStack() as stack:
        stack.enter_context(server(folder))
        wait_for(lambda: directory.snapshot(ENVIRONMENT).exists(), "the server published nothing")
        children = [stack.enter_context(child(folder, number)) for number in range(processes)]
        wait_for(lambda: len(list(folder.glob("ready-*"))) == processes, "not every process came up")
        (folder / BREAKS).touch()
        wait_for(lambda: len(list(folder.glob("switched-*"))) == processes, "not every process went back to stable")
        for process in children:
            process.terminate()
    with store.read() as tx:
        fell = next(t for t in tx.transitions(rollout.id) if t.to_state == "rolling_back")
    store.close()
    print(f"verdict: {fell.reason}")
    return fell.at_ms, [float(path.read_text()) for path in folder.glob("switched-*")]


def start(store: SqliteStore) -> Rollout:
    """Begin a rollout that stays at one half until somebody resumes it."""
    stable, candidate = synthetic_release(FEATURE, 1), synthetic_release(FEATURE, 2)
    plan = RolloutPlan(
        window="500ms",
        metrics=[MetricSpec(name="format", margin=0.02)],
        steps=[Step(set_weight=50.0), Step(pause=PauseStep())],
    )
    now_ms = SystemClock().now_ms()
    with store.write() as tx:
        tx.put_feature(Feature(name=FEATURE, team="support"))
        tx.add_release(stable)
        tx.add_release(candidate)
        tx.move_pointer(
            PointerMove(
                feature=FEATURE,
                environment=ENVIRONMENT,
                revision=1,
                from_release=None,
                to_release=stable.digest,
                at_ms=now_ms,
                actor="bench",
                reason="first",
            )
        )
        request = RolloutRequest(
            feature=FEATURE, environment=ENVIRONMENT, candidate=candidate.digest, actor="bench", plan=plan
        )
        return start_rollout(tx, request, now_ms=now_ms)


def serve(folder: Path, number: int) -> None:
    """Be one data plane until stopped."""
    plane = DataPlane.open(DataDirectory(folder / "data"), environment=ENVIRONMENT, kind="bench")
    watched = next(name for name in map(str, range(10**6)) if plane.decide(FEATURE, name).arm == "candidate")
    (folder / f"ready-{number}").touch()
    due = time.monotonic() + CALL_SECONDS * number / 50
    switched = False
    count = 0
    while True:
        time.sleep(LOOK_SECONDS)
        if not switched and plane.decide(FEATURE, watched).arm != "candidate":
            switched = True
            note = folder / f".switched-{number}"
            note.write_text(str(time.time() * 1000))
            note.rename(folder / f"switched-{number}")
        if time.monotonic() >= due:
            due += CALL_SECONDS
            count += 1
            call(plane, f"{number}-{count}", broken=(folder / BREAKS).exists())


def call(plane: DataPlane, unit: str, *, broken: bool) -> None:
    """Record one call as a gateway would."""
    decision, now_ms = plane.decide(FEATURE, unit), plane.clock.now_ms()
    text = "```\nfenced\n```" if broken and decision.arm == "candidate" else "plain"
    plane.record(
        Generation(
            id=new_id("gen", now_ms),
            at_ms=now_ms,
            feature=FEATURE,
            environment=ENVIRONMENT,
            process=plane.process_id,
            release=decision.release.digest,
            arm=decision.arm,
            unit=unit,
            rollout=decision.rollout,
            stage=decision.stage,
            output=text,
            messages=[{"role": "user", "content": "hi"}],
        )
    )


@contextlib.contextmanager
def server(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`trimtab server`, as users start it."""
    (folder / "trimtab.toml").write_text(f'directory = "data"\n\n[server]\nport = {free_port()}\n')
    with running([sys.executable, "-m", "trimtab", "server"], folder) as process:
        yield process


def child(folder: Path, number: int) -> contextlib.AbstractContextManager[subprocess.Popen[bytes]]:
    """One data plane in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.rollback", "--serve", str(folder), str(number)]
    return running(command, Path(__file__).parent.parent)


@contextlib.contextmanager
def running(command: list[str], folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is gone afterwards."""
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(timeout=30)


def wait_for(happened: Callable[[], bool], problem: str) -> None:
    """Wait until `happened()`; exits with `problem` after two minutes."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not happened():
        if time.monotonic() > deadline:
            sys.exit(problem)
        time.sleep(0.1)


if __name__ == "__main__":
    main()
