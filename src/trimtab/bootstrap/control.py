"""The control plane, wired: its database, snapshot files and journals of one data directory."""

from __future__ import annotations

import getpass
import os
import socket
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from trimtab.analysis.scorers import ScorerLibrary
from trimtab.bootstrap.prices import price_of
from trimtab.bootstrap.store import open_store
from trimtab.bootstrap.webhooks import WebhookClient
from trimtab.control.courier import Courier
from trimtab.control.eval_desk import EvalDesk
from trimtab.control.gatekeeper import Gatekeeper
from trimtab.control.inbox import AllEvents
from trimtab.control.machines import KnownRevisions
from trimtab.control.outbound import Correspondent
from trimtab.control.plane import ControlPlane
from trimtab.control.score_journal import ScoreJournal
from trimtab.core.clock import SystemClock
from trimtab.rollout.controller import CONSUMER, Controller, ControllerPorts
from trimtab.rollout.files import JournalEvents, SnapshotFiles

if TYPE_CHECKING:
    from trimtab.bootstrap.nodes import Node
    from trimtab.bootstrap.settings import Settings
    from trimtab.control.examples import PastEvents
    from trimtab.control.tracing import ColdEvents
    from trimtab.events import Event

__all__ = [
    "ControllerLoop",
    "OutboundLoop",
    "actor_of",
    "open_control",
    "open_controller",
    "open_eval_desk",
    "open_outbound",
]


def open_control(settings: Settings, *, cold: ColdEvents | None = None, past: PastEvents | None = None) -> ControlPlane:
    """Open the control plane; raises `StorageError` where its store cannot be opened.

    `cold` and `past` are asked for what files of evidence hold; without `past`, those files are opened when needed.
    """
    directory = settings.data_directory
    return ControlPlane(
        store=open_store(settings),
        publisher=SnapshotFiles(directory),
        directory=directory,
        clock=SystemClock(),
        environment=settings.environment,
        actor=actor_of(settings),
        prices=price_of,
        cold=cold,
        past=past or partial(_past, settings),
    )


def open_eval_desk(settings: Settings) -> EvalDesk:
    """Open what evals need of the control plane; raises `StorageError` where its store cannot be opened."""
    return EvalDesk(
        store=open_store(settings),
        directory=settings.data_directory,
        clock=SystemClock(),
        actor=actor_of(settings),
    )


def _past(settings: Settings, rollout: str, span: tuple[int, int]) -> list[Event]:
    """Ask the files. Only then are the libraries that read them worth their time to load."""
    from trimtab.bootstrap.evidence_reader import open_reader
    from trimtab.evidence.questions import of_rollout

    reader = open_reader(settings)
    try:
        return of_rollout(reader, rollout, span)
    finally:
        reader.close()


class ControllerLoop:
    """A controller with what it is wired to, ticked by whoever runs the process."""

    def __init__(self, settings: Settings, node: Node | None = None) -> None:
        """`node` is what this one shares with other machines; `None` where it is alone."""
        directory = settings.data_directory
        self._inbox = inbox = None if node is None else node.inbox
        files = SnapshotFiles(directory)
        self._store = open_store(settings)
        self._scores = ScoreJournal(directory.journals, settings.journal)
        self._events = JournalEvents(directory.journals, consumer=CONSUMER)
        ports = ControllerPorts(
            store=self._store,
            events=self._events if inbox is None else AllEvents(self._events, inbox),
            publisher=files if node is None else KnownRevisions(files, node.board),
            clock=SystemClock(),
            scorers=ScorerLibrary([Path(path) for path in settings.server.scorer_path]),
            scores=self._scores,
            prices=price_of,
        )
        holder = f"{socket.gethostname()}-{os.getpid()}-{os.urandom(4).hex()}"
        self._controller = Controller(ports, holder=holder, address="" if node is None else node.address)

    def tick(self) -> list[str]:
        """Do all that is to be done now; returns what is worth telling."""
        leads = False
        try:
            told, leads = self._tick()
        finally:
            if self._inbox is not None and not leads:
                self._inbox.close()  # whoever leads now asks for it again
        return told

    def _tick(self) -> tuple[list[str], bool]:
        told = []
        while True:
            report = self._controller.tick()
            told += self._events.take_damage()
            if self._inbox is not None:
                told += self._inbox.take_damage()
            told += [f"{step.rollout} {step.to_state}: {step.reason}" for step in report.transitions]
            if not report.more:
                return told, report.leading

    def close(self) -> None:
        """Hand the lease back and close."""
        self._controller.stop()
        self._scores.close()
        self._store.close()


_PATIENCE_SECONDS = 2.0


class OutboundLoop:
    """Tells people and asks gates. Lives in one event loop: what is slow or away is in nobody's way."""

    def __init__(self, settings: Settings) -> None:
        self._store = open_store(settings)
        clock = SystemClock()
        correspondent = Correspondent(poster=WebhookClient(), secrets=os.environ.get, clock=clock)
        self._courier = Courier(store=self._store, clock=clock, correspondent=correspondent)
        self._gatekeeper = Gatekeeper(store=self._store, clock=clock, correspondent=correspondent)

    def tick(self) -> list[str]:
        """Begin what is due; returns what went wrong, in words."""
        return self._gatekeeper.tick() + self._courier.tick()

    async def close(self) -> list[str]:
        """Let what is under way end, if that is soon; what is cut off is sent again by whoever comes next."""
        told = await self._courier.settle(_PATIENCE_SECONDS) + await self._gatekeeper.settle(_PATIENCE_SECONDS)
        self._store.close()
        return told


def open_outbound(settings: Settings) -> OutboundLoop:
    """Open what tells people and asks gates; several may run."""
    return OutboundLoop(settings)


def open_controller(settings: Settings, node: Node | None = None) -> ControllerLoop:
    """Open a controller; several may run, one leads. See `ControllerLoop`."""
    return ControllerLoop(settings, node)


def actor_of(settings: Settings) -> str:
    """Return whom changes are booked to."""
    return settings.actor or _login()


def _login() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container user without a name
        return f"uid-{os.getuid()}"
