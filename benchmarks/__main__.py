"""Run every benchmark of our own code, or those named: `python -m benchmarks [NAME [ARGUMENTS]]`.

`peers` (minutes, installs other products), `soak` (millions of requests) and `simulate` (thousands of rollouts)
run only when they are named.
"""

from __future__ import annotations

import importlib
import signal
import sys

OWN = (
    "analysis",
    "behaviour",
    "evals",
    "migration",
    "serving",
    "journal",
    "sdk",
    "gateway",
    "gateway_path",
    "rollback",
    "propagation",
    "evidence",
)
NAMED = ("peers", "soak", "simulate")


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that servers under test are stopped too
    names = [name for name in sys.argv[1:] if name in (*OWN, *NAMED)]
    if sys.argv[1:] and not names:
        sys.exit(f"no benchmark `{sys.argv[1]}`; there are {', '.join((*OWN, *NAMED))}")
    if len(names) == 1 and names == sys.argv[1:2]:
        sys.argv = sys.argv[1:]
        print(f"# {names[0]}", flush=True)
        importlib.import_module(f"benchmarks.{names[0]}").main()
        return
    for name in names or OWN:
        print(f"\n# {name}", flush=True)
        sys.argv = [name]
        importlib.import_module(f"benchmarks.{name}").main()


if __name__ == "__main__":
    main()
