"""trimtab gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
import msgspec

from trimtab.cli.output import say

if TYPE_CHECKING:
    from trimtab.cli.context import AppContext

__all__ = ["command"]


@click.command("gateway")
@click.option("--host", help="Address to listen on (default 127.0.0.1).")
@click.option("--port", type=int, help="Port (default 8400).")
@click.pass_obj
def command(app: AppContext, host: str | None, port: int | None) -> None:
    """Run the OpenAI-compatible gateway: the model name that clients send is the feature's name."""
    from trimtab.bootstrap.data_plane import endpoints, open_data_plane
    from trimtab.gateway.config import GatewayConfig, check_bind
    from trimtab.gateway.server import run

    settings = app.settings(gateway__host=host, gateway__port=port)
    config = msgspec.convert(msgspec.to_builtins(settings.gateway), GatewayConfig)
    plane = open_data_plane(settings, kind="gateway")
    try:
        check_bind(config, has_keys=plane.asks_for_keys)
        run(config, plane, endpoints(settings), on_ready=lambda at, on: say(f"gateway on http://{at}:{on}/v1"))
    finally:
        plane.close()
