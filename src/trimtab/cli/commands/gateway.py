"""trimtab gateway."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

import click
import msgspec

from trimtab.cli.output import log_format_option, say
from trimtab.core.errors import InputError

if TYPE_CHECKING:
    from trimtab.bootstrap.settings import Settings
    from trimtab.cli.context import AppContext
    from trimtab.gateway.config import GatewayConfig
    from trimtab.gateway.workers import WorkerEvent

__all__ = ["command"]


@click.command("gateway")
@click.option("--host", help="Address to listen on (default 127.0.0.1).")
@click.option("--port", type=int, help="Port (default 8400).")
@click.option(
    "--workers", type=int, help="Processes behind the port (default 1). SIGHUP replaces them, with new settings."
)
@log_format_option
@click.option("--worker", hidden=True, help="What a worker inherits.")
@click.pass_obj
def command(
    app: AppContext,
    host: str | None,
    port: int | None,
    workers: int | None,
    log_format: str | None,
    worker: str | None,
) -> None:
    """Run the gateway for OpenAI's and Anthropic's clients: the model name that they send is the feature's name."""
    from trimtab.bootstrap.logs import open_log
    from trimtab.bootstrap.metrics import metrics_access
    from trimtab.gateway.config import GatewayConfig

    settings = app.settings(gateway__host=host, gateway__port=port, gateway__workers=workers, log_format=log_format)
    open_log(settings)
    config = msgspec.convert(msgspec.to_builtins(settings.gateway), GatewayConfig)
    config = msgspec.structs.replace(config, metrics=metrics_access(settings))
    if worker is not None:
        _serve(settings, config, worker)
    elif settings.gateway.workers > 1:
        _supervise(settings, config)
    elif settings.gateway.workers == 1:
        _serve(settings, config, None)
    else:
        raise InputError("invalid_setting", "there must be at least one worker", param="gateway.workers")


def _serve(settings: Settings, config: GatewayConfig, worker: str | None) -> None:
    from trimtab.bootstrap.data_plane import endpoints, open_data_plane
    from trimtab.gateway.config import check_bind
    from trimtab.gateway.server import run
    from trimtab.gateway.workers import WorkerLink

    link = WorkerLink(*(int(descriptor) for descriptor in worker.split(","))) if worker else None
    plane = open_data_plane(settings, kind="gateway")
    try:
        check_bind(config, has_keys=plane.asks_for_keys)
        run(
            config,
            plane,
            endpoints(settings),
            on_ready=lambda at, on: None if link else say(f"gateway on http://{at}:{on}/v1"),
            link=link,
        )
    finally:
        plane.close()


def _supervise(settings: Settings, config: GatewayConfig) -> None:
    from trimtab.gateway.workers import Supervisor

    async def supervise() -> None:
        await Supervisor(
            [sys.executable, "-m", "trimtab", *sys.argv[1:]],
            workers=settings.gateway.workers,
            host=config.host,
            port=config.port,
            drain_seconds=config.drain_seconds,
            tell=_tell,
        ).run()

    asyncio.run(supervise())


def _tell(event: WorkerEvent) -> None:
    say(f"gateway {event.kind.replace('_', ' ')}: {event.detail}", event=event.kind)
