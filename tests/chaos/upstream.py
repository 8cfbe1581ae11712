"""The simulated model on an address of its own: `upstream.py HOST PORT BEHAVIOUR SEED`."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
import uvloop

from trimtab.sim.config import load_sim_config
from trimtab.sim.server import SimOptions, serve_sim


def main() -> None:
    """Serve until killed."""
    host, port, behaviour, seed = sys.argv[1:]
    config = msgspec.structs.replace(load_sim_config(Path(behaviour)), seed=int(seed))
    uvloop.run(serve_sim(config, SimOptions(host=host, port=int(port)), on_ready=lambda _host, _port: None))


if __name__ == "__main__":
    main()
