"""trimtab gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from trimtab.cli.context import AppContext

__all__ = ["command"]


@click.command("gateway")
@click.option("--host", help="Address to listen on (default 127.0.0.1).")
@click.option("--port", type=int, help="Port (default 8400).")
@click.pass_obj
def command(app: AppContext, host: str | None, port: int | None) -> None:
    """Run the OpenAI-compatible gateway: the model name that clients send is the feature's name."""
    from trimtab.bootstrap.data_plane import run_gateway

    run_gateway(app.settings(gateway__host=host, gateway__port=port))
