"""Fuzz for as long as you like, from the root of the repository: `python -m tests.fuzz TARGET --minutes N`.

Targets: any bytes at the HTTP `server` or `upstream`; damaged `requests`, `answers` and `streams` of every format.

What fails is shown shrunk, and kept in `.hypothesis`, so that the next run, and the tests, try it first.
"""

from __future__ import annotations

import argparse
import sys
import time

from hypothesis import HealthCheck, settings
from tests.fuzz.targets import TARGETS

_ROUND = 5_000


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__.splitlines()[0])
    parser.add_argument("target", choices=sorted(TARGETS))
    parser.add_argument("--minutes", type=float, default=1.0)
    arguments = parser.parse_args()
    target = settings(max_examples=_ROUND, deadline=None, suppress_health_check=list(HealthCheck))(
        TARGETS[arguments.target]
    )
    deadline = time.monotonic() + arguments.minutes * 60
    rounds = 0
    while not rounds or time.monotonic() < deadline:
        target()
        rounds += 1
        sys.stderr.write(f"{rounds * _ROUND:,} examples, no failure\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
