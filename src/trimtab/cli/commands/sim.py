"""trimtab sim."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from trimtab.cli.output import say

__all__ = ["command"]


@click.command("sim")
@click.option("--port", type=int, default=9100, show_default=True, help="Port on 127.0.0.1.")
@click.option("--seed", type=int, help="Same seed, same request, same user: same answer (default: the file's, or 1).")
@click.option("--behaviour", type=click.Path(path_type=Path), help="YAML or JSON file of behaviours.")
@click.option("--replay", type=click.Path(path_type=Path), help="CSV or JSONL of recorded generations to answer with.")
@click.option(
    "--replay-speed", type=click.FloatRange(min=0, min_open=True), default=1.0, show_default=True, help="Times as fast."
)
def command(port: int, seed: int | None, behaviour: Path | None, replay: Path | None, replay_speed: float) -> None:
    """Run a seeded upstream on loopback that speaks as OpenAI and Anthropic do: to try things, or replay recordings."""
    import uvloop

    from trimtab.sim.config import SimConfig, load_sim_config
    from trimtab.sim.replay import ReplaySource
    from trimtab.sim.server import SimOptions, serve_sim

    config = load_sim_config(behaviour) if behaviour else SimConfig()
    if seed is not None:
        config = msgspec.structs.replace(config, seed=seed)
    source = ReplaySource.from_file(replay) if replay else None
    if source is not None:
        say(f"{len(source):,} recorded generations of {', '.join(source.models)}")
    uvloop.run(
        serve_sim(
            config,
            SimOptions(port=port, replay_speed=replay_speed),
            replay=source,
            on_ready=lambda at, on: say(f"upstream on http://{at}:{on}/v1"),
        )
    )
