"""trimtab server."""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
from functools import partial
from typing import TYPE_CHECKING, Protocol

import click

from trimtab.cli.output import say
from trimtab.core.errors import InputError

if TYPE_CHECKING:
    from types import FrameType

    from trimtab.bootstrap.control import OutboundLoop
    from trimtab.cli.context import AppContext

__all__ = ["command"]

_LOOPBACK = {"127.0.0.1", "::1", "localhost"}
_MAX_BACKOFF_SECONDS = 10.0


@click.command("server")
@click.option("--host", help="Address to listen on (default 127.0.0.1).")
@click.option("--port", type=int, help="Port (default 8401).")
@click.option("--no-controller", is_flag=True, help="Serve API and console only; another server drives rollouts.")
@click.pass_obj
def command(app: AppContext, host: str | None, port: int | None, no_controller: bool) -> None:  # noqa: FBT001 - click's signature
    """Run the control plane: the rollout controller, the API and the console."""
    import uvicorn
    from starlette.applications import Starlette
    from starlette.exceptions import HTTPException
    from starlette.middleware import Middleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    from trimtab.api.app import api_routes, http_error
    from trimtab.bootstrap.control import open_control, open_controller, open_outbound
    from trimtab.bootstrap.evidence import EvidenceLoop, open_reader
    from trimtab.console.app import console_routes
    from trimtab.evidence.questions import of_rollout, trace

    settings = app.settings(server__host=host, server__port=port)
    if settings.server.host not in _LOOPBACK:
        raise InputError(
            "unauthenticated_listener",
            "the control plane has no users yet and listens on loopback only",
            param=f"server.host = {settings.server.host}",
            hint="put an authenticating reverse proxy in front of 127.0.0.1",
        )
    evidence = open_reader(settings)
    plane = open_control(settings, cold=partial(trace, evidence), past=partial(of_rollout, evidence))
    web = Starlette(
        routes=[*api_routes(plane, evidence), *console_routes(plane)],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost", "[::1]"])],
        exception_handlers={HTTPException: http_error},
    )
    stop = threading.Event()
    workers: list[threading.Thread] = []
    if not no_controller:
        driven = ("controller", open_controller(settings), stop, settings.server.tick_seconds)
        moved = ("evidence", EvidenceLoop(settings), stop, settings.evidence.compact_seconds)
        told = (open_outbound(settings), stop, settings.server.tick_seconds)
        workers = [
            threading.Thread(target=_drive, args=driven, name="controller"),
            threading.Thread(target=lambda: asyncio.run(_speak(*told)), name="outbound"),
            threading.Thread(target=_drive, args=moved, name="evidence"),
        ]
    signal.signal(signal.SIGTERM, _leave)  # uvicorn stops at it and then gives it back to whoever had it before
    try:
        for worker in workers:
            worker.start()
        say(f"console and API on http://{settings.server.host}:{settings.server.port}")
        uvicorn.run(web, host=settings.server.host, port=settings.server.port, log_level="warning", access_log=False)
    finally:
        stop.set()
        for worker in workers:
            if worker.ident is not None:  # a signal may have come before it was started
                worker.join()


def _leave(_number: int, _frame: FrameType | None) -> None:
    """Unwind, so that the lease is handed back and what is being said is finished; by default SIGTERM ends at once."""
    sys.exit(0)


class _Loop(Protocol):
    def tick(self) -> list[str]: ...
    def close(self) -> None: ...


def _drive(name: str, loop: _Loop, stop: threading.Event, tick_seconds: float) -> None:
    """Tick until told to stop. An error is told and tried again, for a controller that gives up guards nobody."""
    pause_seconds = tick_seconds
    while not stop.wait(pause_seconds):
        try:
            for line in loop.tick():
                say(line)
            pause_seconds = tick_seconds
        except Exception as error:  # noqa: BLE001 - the loop must outlive whatever goes wrong in one turn
            pause_seconds = min(2 * pause_seconds, _MAX_BACKOFF_SECONDS)
            say(f"{name}: {type(error).__name__}: {error}; next try in {pause_seconds:.1f} s")
    loop.close()


async def _speak(outbound: OutboundLoop, stop: threading.Event, tick_seconds: float) -> None:
    """Send messages and ask gates until told to stop, in a thread of its own; errors as in `_drive`."""
    pause_seconds = tick_seconds
    while not stop.is_set():
        try:
            for line in outbound.tick():
                say(line)
            pause_seconds = tick_seconds
        except Exception as error:  # noqa: BLE001 - the loop must outlive whatever goes wrong in one turn
            pause_seconds = min(2 * pause_seconds, _MAX_BACKOFF_SECONDS)
            say(f"messages and gates: {type(error).__name__}: {error}; next try in {pause_seconds:.1f} s")
        await asyncio.to_thread(stop.wait, pause_seconds)
    for line in await outbound.close():
        say(line)
