"""trimtab server."""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
from functools import partial
from typing import TYPE_CHECKING

import click

from trimtab.cli.loops import OUTBOUND, drive, speak
from trimtab.cli.output import log_format_option, say
from trimtab.core.errors import InputError

if TYPE_CHECKING:
    from types import FrameType

    from starlette.applications import Starlette

    from trimtab.bootstrap.evidence import EvidenceLoop
    from trimtab.bootstrap.intake import Intake
    from trimtab.bootstrap.nodes import Node
    from trimtab.bootstrap.settings import Settings
    from trimtab.cli.context import AppContext
    from trimtab.cli.loops import Loop
    from trimtab.control.loop_watch import LoopWatch
    from trimtab.control.plane import ControlPlane
    from trimtab.evidence.reader import EvidenceReader
    from trimtab.evidence.state import EvidenceState

__all__ = ["command"]

_LOOPBACK = {"127.0.0.1", "::1", "localhost"}


@click.command("server")
@click.option("--host", help="Address to listen on (default 127.0.0.1).")
@click.option("--port", type=int, help="Port (default 8401).")
@click.option("--no-controller", is_flag=True, help="Serve API and console only; another server drives rollouts.")
@log_format_option
@click.pass_obj
def command(
    app: AppContext,
    host: str | None,
    port: int | None,
    no_controller: bool,  # noqa: FBT001 - click's signature
    log_format: str | None,
) -> None:
    """Run the control plane: the rollout controller, the API and the console."""
    import uvicorn

    from trimtab.bootstrap.intake import Intake
    from trimtab.bootstrap.logs import open_log
    from trimtab.bootstrap.nodes import open_node
    from trimtab.cli.door import open_door
    from trimtab.control.loop_watch import LoopWatch
    from trimtab.core.clock import SystemClock

    settings = app.settings(server__host=host, server__port=port, log_format=log_format)
    open_log(settings)
    if settings.server.host not in _LOOPBACK:
        raise InputError(
            "unauthenticated_listener",
            "the control plane has no users yet and listens on loopback only",
            param=f"server.host = {settings.server.host}",
            hint="put an authenticating reverse proxy in front of 127.0.0.1",
        )
    stop = threading.Event()
    node = open_node(settings)
    loops = _Loops(settings, LoopWatch(SystemClock()), stop, node)
    if not no_controller:
        loops.control()
    plane, evidence = _open(settings)
    intake = Intake(settings, plane)
    web = _application(settings, loops, plane, evidence, intake)
    door = open_door(node, settings.server.data_planes) if node and node.listens else None
    signal.signal(signal.SIGTERM, _leave)  # uvicorn stops at it and then gives it back to whoever had it before
    try:
        loops.start()
        if door is not None:
            door.start()
            say(f"data planes of other machines on {door.shown}")
        say(f"console and API on http://{settings.server.host}:{settings.server.port}")
        uvicorn.run(web, host=settings.server.host, port=settings.server.port, log_config=None, access_log=False)
    finally:
        stop.set()
        if door is not None:
            door.stop()
        loops.join()
        intake.close()


def _open(settings: Settings) -> tuple[ControlPlane, EvidenceReader]:
    """Open what is asked over HTTP."""
    from trimtab.bootstrap.control import open_control
    from trimtab.bootstrap.evidence_reader import open_reader
    from trimtab.evidence.questions import of_rollout, trace

    evidence = open_reader(settings)
    return open_control(settings, cold=partial(trace, evidence), past=partial(of_rollout, evidence)), evidence


def _application(
    settings: Settings, loops: _Loops, plane: ControlPlane, evidence: EvidenceReader, intake: Intake
) -> Starlette:
    """Return the API, the console, the probes, and where traces come in."""
    from starlette.applications import Starlette
    from starlette.exceptions import HTTPException
    from starlette.middleware import Middleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    from trimtab.api.app import api_routes, http_error
    from trimtab.api.condition import ServerCondition
    from trimtab.api.migrations import migration_routes
    from trimtab.api.otlp import otlp_routes
    from trimtab.api.probes import probe_routes
    from trimtab.api.request_log import RequestLog
    from trimtab.bootstrap.metrics import metrics_access
    from trimtab.bootstrap.migrations import migration_options, open_migrations
    from trimtab.console.app import console_routes
    from trimtab.core.clock import SystemClock

    migrations = open_migrations(settings, evidence=evidence)
    condition = ServerCondition(
        plane, settings.data_directory, SystemClock(), loops.watch, loops.compacted, intake.counts
    )
    return Starlette(
        routes=[
            *probe_routes(condition, metrics_access(settings)),
            *otlp_routes(intake),
            *api_routes(plane, evidence),
            *migration_routes(migrations, partial(migration_options, settings)),
            *console_routes(plane, migrations),
        ],
        middleware=[
            Middleware(RequestLog),
            Middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost", "[::1]"]),
        ],
        exception_handlers={HTTPException: http_error},
    )


def _leave(_number: int, _frame: FrameType | None) -> None:
    """Unwind, so that the lease is handed back and what is being said is finished; by default SIGTERM ends at once."""
    sys.exit(0)


class _Loops:
    """What a server does beside answering: each in a thread of its own, until told to stop."""

    def __init__(self, settings: Settings, watch: LoopWatch, stop: threading.Event, node: Node | None) -> None:
        self.watch = watch
        self._settings = settings
        self._stop = stop
        self._node = node
        self._evidence: EvidenceLoop | None = None
        self._threads: list[threading.Thread] = []
        for name, (loop, seconds) in (node.loops if node else {}).items():
            self._drive(name, loop, seconds)

    def control(self) -> None:
        """Drive rollouts, too, or stand by to; and what belongs to that."""
        from trimtab.bootstrap.control import open_controller, open_outbound
        from trimtab.bootstrap.evidence import EvidenceLoop, JudgedInStore
        from trimtab.bootstrap.followers import FOLLOW_SECONDS, open_followers

        settings, tick_seconds = self._settings, self._settings.server.tick_seconds
        self._evidence = EvidenceLoop(settings, JudgedInStore(settings))
        self._drive("controller", open_controller(settings, self._node), tick_seconds)
        self._drive("evidence", self._evidence, settings.evidence.compact_seconds)
        for name, follower in open_followers(settings).items():
            self._drive(name, follower, FOLLOW_SECONDS)
        told = (open_outbound(settings), self.watch, self._stop, tick_seconds)
        self.watch.began(OUTBOUND)
        self._threads.append(threading.Thread(target=lambda: asyncio.run(speak(*told)), name=OUTBOUND))

    def compacted(self) -> EvidenceState | None:
        """Return what is in files, where this process puts it there."""
        return self._evidence.compacted if self._evidence else None

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        """Wait until all have heard that they are to stop."""
        for thread in self._threads:
            if thread.ident is not None:  # a signal may have come before it was started
                thread.join()

    def _drive(self, name: str, loop: Loop, seconds: float) -> None:
        self.watch.began(name)
        arguments = (name, loop, self.watch, self._stop, seconds)
        self._threads.append(threading.Thread(target=drive, args=arguments, name=name))
