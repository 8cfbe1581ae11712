"""Fuzz for as long as you like, from the root of the repository: `python -m tests.fuzz {server,upstream} --minutes N`.

What fails is shown shrunk, and kept in `.hypothesis`, so that the next run, and the tests, try it first.
"""

from __future__ import annotations

import argparse
import sys
import time

from hypothesis import HealthCheck, settings
from tests.fuzz import test_fuzz_http_server, test_fuzz_http_upstream

_TARGETS = {"server": test_fuzz_http_server.TARGET, "upstream": test_fuzz_http_upstream.TARGET}
_ROUND = 5_000


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__.splitlines()[0])
    parser.add_argument("target", choices=sorted(_TARGETS))
    parser.add_argument("--minutes", type=float, default=1.0)
    arguments = parser.parse_args()
    target = settings(max_examples=_ROUND, deadline=None, suppress_health_check=list(HealthCheck))(
        _TARGETS[arguments.target]
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
