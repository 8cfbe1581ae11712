"""trimtab demo."""

from __future__ import annotations

import sys
from pathlib import Path

import click

__all__ = ["command"]


@click.command("demo")
@click.option(
    "--replay",
    is_flag=True,
    help="Replay real generations of GPT-4 and GPT-3.5 (LLMDrift, found by TRIMTAB_DATA) instead of the simulator.",
)
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    default=Path(".trimtab-demo"),
    show_default=True,
    help="Where the demo keeps its data; made anew.",
)
@click.option("--resume", is_flag=True, help="Go on with a demo that was interrupted, instead of beginning anew.")
@click.option("--seed", type=int, default=7, show_default=True, help="Seed of users and upstream.")
@click.option("--stay/--no-stay", default=None, help="Keep serving the console at the end (default: on a terminal).")
def command(replay: bool, folder: Path, resume: bool, seed: int, stay: bool | None) -> None:  # noqa: FBT001 - click's signature
    """Watch a bad prompt edit roll back and its mended version promote, in about two minutes, on embedded storage."""
    from trimtab.demo.run import run_demo

    sys.exit(run_demo(folder=folder, replay=replay, resume=resume, seed=seed, stay=stay))
