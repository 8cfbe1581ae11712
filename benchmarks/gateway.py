"""Our gateway beside the bare upstream and nginx, in interleaved rounds: `python -m benchmarks peers`, in short."""

from __future__ import annotations

import argparse

from benchmarks.harness.gateways import measure_gateways
from benchmarks.harness.page import gateway_tables

ROUNDS, SCALE = 3, 0.5


def main(arguments: list[str] | None = None) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks gateway", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--asleep", action="store_true", help="upstream and load generator sleep when idle")
    asked = parser.parse_args(arguments)
    found = measure_gateways(
        (), rounds=asked.rounds, scale=SCALE, command="python -m benchmarks gateway", busy_poll=not asked.asleep
    )
    print(gateway_tables(found))


if __name__ == "__main__":
    main()
