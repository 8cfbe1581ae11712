"""Our gateway beside the bare upstream and nginx, in interleaved rounds: `python -m benchmarks peers`, in short."""

from __future__ import annotations

from benchmarks.harness.gateways import measure_gateways
from benchmarks.harness.page import gateway_tables

ROUNDS, SCALE = 3, 0.5


def main() -> None:
    """Print the tables."""
    print(gateway_tables(measure_gateways((), rounds=ROUNDS, scale=SCALE, command="python -m benchmarks gateway")))


if __name__ == "__main__":
    main()
