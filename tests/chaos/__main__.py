"""Break Trimtab while it works, and reckon: `python -m tests.chaos --kills 200 --seed 1`.

Real processes, real calls, real rollouts. Killed (SIGKILL): gateway workers, the gateway, servers with controller and
compactor, applications with the SDK, and with `--apart` the relay between machines. Beside that: SIGSTOP, half-written
frames and flipped bits in journals of the dead and, for root, a full disk (a small tmpfs) and cut cables (network
namespaces). `--postgres` keeps control state in a Postgres server, which is crashed too. Exit status 1 where anything
acknowledged was lost, is there twice, or a rollout did not end as it must.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from tests.chaos.play import play
from tests.chaos.stage import Play
from tests.postgres import PostgresServer, find_binaries

if TYPE_CHECKING:
    from tests.chaos.verdict import Report


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=0.8, help="mean time between two faults")
    parser.add_argument("--apart", action="store_true", help="control plane and gateway on machines of their own")
    parser.add_argument("--postgres", action="store_true", help="control state in a Postgres server of its own")
    parser.add_argument("--keep", type=Path, help="run in this empty folder and leave it there, with the logs")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    folder = arguments.keep or Path(tempfile.mkdtemp(prefix="trimtab-chaos-"))
    folder.mkdir(parents=True, exist_ok=True)
    plan = Play(
        kills=arguments.kills,
        seed=arguments.seed,
        mean_seconds=arguments.seconds,
        apart=arguments.apart,
        servers=1 if arguments.apart and not arguments.postgres else 2,  # SQLite is one node's
    )
    postgres = None
    if arguments.postgres:
        binaries = find_binaries()
        if binaries is None:
            sys.exit("Postgres is not installed (Debian: apt-get install postgresql)")
        postgres = PostgresServer(binaries)
    try:
        if postgres is not None:
            postgres.start()
        report = play(folder, plan, postgres=postgres)
    finally:
        if postgres is not None:
            postgres.remove()
    if arguments.json:
        print(msgspec.json.format(msgspec.json.encode(report)).decode())
    else:
        _print(report)
    if arguments.keep is None and not report.problems:
        shutil.rmtree(folder, ignore_errors=True)
    elif report.problems:
        sys.stderr.write(f"the logs are in {folder / 'logs'}\n")
    return 1 if report.problems else 0


def _print(report: Report) -> None:
    kills = ", ".join(f"{count} {role}" for role, count in sorted(report.kills.items()))
    faults = ", ".join(f"{count} {fault}" for fault, count in sorted(report.faults.items()))
    acknowledged = report.answers + report.signals + report.recorded
    right = sum(one.right for one in report.rollouts)
    places = "several machines" if report.apart else "one machine"
    print(f"seed {report.seed}, {report.store}, {places}, {report.seconds:.0f} s")
    print(f"killed        {sum(report.kills.values())}: {kills}")
    print(f"beside that   {faults}")
    print(
        f"acknowledged  {acknowledged:,}: {report.answers:,} answers, {report.signals:,} signals, "
        f"{report.recorded:,} events of applications; {report.unanswered:,} requests got no answer"
    )
    print(
        f"in evidence   {report.events:,} events, {len(report.lost)} acknowledged ones lost, {report.duplicates} twice"
    )
    print(f"rollouts      {right} of {len(report.rollouts)} ended as they must; {len(report.pauses)} pauses")
    print(f"audit log     {report.audit_fault or 'whole'}")
    for problem in report.problems:
        print(f"PROBLEM       {problem}")


if __name__ == "__main__":
    sys.exit(main())
