"""Everything beside its peers, in one run; writes `benchmarks/RESULTS.md` and `RESULTS.json`.

`python -m benchmarks peers` (about twelve minutes; installs what is missing under `.bench/` first), `--quick` (about
three, prints and writes nothing), `--only tensorzero,litellm` (fewer peers; nginx is always there).
"""

from __future__ import annotations

import argparse

from benchmarks.harness.gateways import measure_gateways
from benchmarks.harness.page import gateway_tables, sdk_tables
from benchmarks.harness.results import save_results
from benchmarks.harness.sdk_environment import measure_sdk
from benchmarks.servers import litellm, mlflow, portkey, tensorzero

PEERS = {
    "tensorzero": tensorzero.prepare,
    "mlflow": mlflow.prepare,
    "portkey": portkey.prepare,
    "litellm": litellm.prepare,
}
ROUNDS, QUICK_ROUNDS = 5, 2
QUICK_SCALE = 0.5


def main(arguments: list[str] | None = None) -> None:
    """Measure, print, and write the page unless the run was a quick one."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks peers", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two short rounds; the page stays as it is")
    parser.add_argument("--rounds", type=int, help=f"rounds (default {ROUNDS})")
    parser.add_argument("--only", default=",".join(PEERS), help=f"peers, of {', '.join(PEERS)}")
    parser.add_argument("--no-sdk", action="store_true", help="gateways only")
    asked = parser.parse_args(arguments)
    unknown = sorted(set(asked.only.split(",")) - set(PEERS))
    if unknown:
        parser.error(f"no peer `{unknown[0]}`; there are {', '.join(PEERS)}")
    command = "python -m benchmarks peers" + (f" --only {asked.only}" if asked.only != ",".join(PEERS) else "")
    gateways = measure_gateways(
        [PEERS[name] for name in PEERS if name in asked.only.split(",")],
        rounds=asked.rounds or (QUICK_ROUNDS if asked.quick else ROUNDS),
        scale=QUICK_SCALE if asked.quick else 1.0,
        command=command,
    )
    print(f"\n{gateway_tables(gateways)}", flush=True)
    asleep = None
    if not asked.quick:
        asleep = measure_gateways((), rounds=ROUNDS, scale=QUICK_SCALE, command=command, busy_poll=False)
        print(f"\n{gateway_tables(asleep)}", flush=True)
    sdk = None if asked.no_sdk else measure_sdk(command=command, quick=asked.quick)
    if sdk:
        print(sdk_tables(sdk))
    if not asked.quick:
        print(f"written: {save_results(gateways=gateways, asleep=asleep, **({'sdk': sdk} if sdk else {}))}")


if __name__ == "__main__":
    main()
