"""What the rollout engine needs of the world: a store, events, a way to publish, and somewhere to leave messages.

Wealth and event offsets commit in one transaction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

from trimtab.events import Event
from trimtab.policy.ports import KeyTransaction
from trimtab.releases.ports import RegistryTransaction

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from contextlib import AbstractContextManager

    from trimtab.events import Score
    from trimtab.rollout.model import GateAnswer, Holdout, Rollout, Transition
    from trimtab.rollout.outbox import Message
    from trimtab.serving.snapshot import Snapshot

__all__ = [
    "ControlStore",
    "ControlTransaction",
    "Cursor",
    "EventBatch",
    "EventSource",
    "Lease",
    "PlanVersion",
    "Published",
    "RolloutTransaction",
    "ScoreSink",
    "SnapshotPublisher",
]


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """The right to drive something until `expires_at_ms`; `epoch` grows with each new holder and fences old ones."""

    name: str
    holder: str
    epoch: int
    expires_at_ms: int
    address: str = ""
    """Where data planes of other machines reach the holder; empty where it listens to none."""


class Cursor(msgspec.Struct, frozen=True, kw_only=True):
    """How far the journal of one process has been read: sequence numbers up to `sequence` are done."""

    consumer: str
    process: str
    segment: str
    offset: int
    sequence: int


class Published(msgspec.Struct, frozen=True, kw_only=True):
    """The snapshot in force in an environment, as JSON."""

    environment: str
    revision: int
    body: bytes


class PlanVersion(msgspec.Struct, frozen=True, kw_only=True):
    """A pushed `rollout.yaml`, content-addressed; a rollout freezes the one it started with."""

    digest: str
    feature: str
    number: int
    source: bytes
    """Canonical JSON of the plan."""
    created_at_ms: int
    created_by: str


class RolloutTransaction(Protocol):
    """Rollouts, leases, evidence and cursors inside one transaction."""

    def plan(self, feature: str) -> PlanVersion | None:
        """The newest plan of a feature."""
        ...

    def add_plan(self, plan: PlanVersion) -> None: ...

    def rollout(self, rollout_id: str) -> Rollout | None: ...
    def active_rollout(self, feature: str, environment: str) -> Rollout | None: ...
    def active_rollouts(self, environment: str | None = None) -> list[Rollout]: ...
    def rollouts(self, feature: str, *, limit: int = 20) -> list[Rollout]: ...
    def add_rollout(self, rollout: Rollout) -> None:
        """Raises `ConflictError` where the feature has an active rollout in that environment already."""
        ...

    def save_rollout(self, rollout: Rollout, *, expected_version: int) -> None:
        """Replace; raises `FencedError` unless the stored `version` is `expected_version`."""
        ...

    def add_transition(self, transition: Transition) -> None: ...
    def transitions(self, rollout_id: str) -> list[Transition]: ...

    def lease(self, name: str) -> Lease | None:
        """Who held it last; it may have run out."""
        ...

    def acquire_lease(self, name: str, *, holder: str, now_ms: int, ttl_ms: int, address: str = "") -> Lease | None:
        """Take or renew; `None` while somebody else holds it. A new holder gets `epoch + 1`."""
        ...

    def check_lease(self, lease: Lease, *, now_ms: int) -> None:
        """Raises `FencedError` unless this holder and epoch still hold the lease."""
        ...

    def release_lease(self, lease: Lease) -> None: ...

    def evidence(self, rollout_id: str) -> bytes | None:
        """The folded evidence of a rollout, as the engine encoded it."""
        ...

    def save_evidence(self, rollout_id: str, state: bytes) -> None: ...
    def counted_units(self, rollout_id: str) -> set[str]:
        """Keys of units whose window closed already: each unit is counted once."""
        ...

    def add_counted_units(self, rollout_id: str, keys: Iterable[str]) -> None: ...

    def pasts(self, rollout_id: str) -> dict[str, bytes]:
        """What is known of units from before an experiment, by their keys, as the engine encoded it."""
        ...

    def save_pasts(self, rollout_id: str, pasts: Mapping[str, bytes]) -> None:
        """Store or replace some of them."""
        ...

    def cursors(self, consumer: str) -> list[Cursor]: ...
    def save_cursors(self, cursors: Iterable[Cursor]) -> None: ...

    def add_message(self, message: Message) -> None:
        """Put a message into the outbox."""
        ...

    def save_message(self, message: Message) -> None:
        """Replace a message."""
        ...

    def messages(self, rollout_id: str) -> list[Message]:
        """Every message about a rollout, oldest first."""
        ...

    def due_messages(self, *, now_ms: int, limit: int) -> list[Message]:
        """Messages that wait and are due, oldest first; due too is what a clock since set back put off too long."""
        ...

    def drop_settled_messages(self, *, created_before_ms: int) -> None:
        """Forget messages of before that time which wait no more."""
        ...

    def gate_answer(self, rollout_id: str) -> GateAnswer | None:
        """What the gate of a rollout's step said last."""
        ...

    def save_gate_answer(self, answer: GateAnswer) -> None: ...

    def holdouts(self, environment: str) -> list[Holdout]:
        """Holdouts of an environment, that of the whole environment (feature "") first."""
        ...

    def put_holdout(self, holdout: Holdout) -> None:
        """Store or replace the holdout of an environment and feature."""
        ...

    def next_snapshot_revision(self, environment: str, *, above: int = 0) -> int:
        """Count up, beyond `above` too; snapshots of one environment never share a revision."""
        ...

    def snapshot_revision(self, environment: str) -> int: ...

    def put_snapshot(self, snapshot: Published) -> None:
        """Make it the one in force, in this transaction; every node hears of it when that commits."""
        ...

    def published(self, environment: str) -> Published | None:
        """The snapshot in force; `None` before the first."""
        ...

    def published_revisions(self) -> dict[str, int]:
        """Revisions in force, by environment."""
        ...

    def put_machine(self, name: str, *, seen_ms: int, body: bytes) -> None:
        """Store or replace what a machine last said of its data planes."""
        ...

    def machines(self, *, seen_since_ms: int) -> list[bytes]:
        """What machines said that were heard of since, by their names; older ones may be forgotten."""
        ...

    def forget_machines(self, *, seen_before_ms: int) -> None: ...


class ControlTransaction(RegistryTransaction, KeyTransaction, RolloutTransaction, Protocol):
    """All control state inside one transaction."""


class ControlStore(Protocol):
    """Where control state lives: SQLite by default, memory in tests and simulations, Postgres later."""

    def read(self) -> AbstractContextManager[ControlTransaction]:
        """A consistent view; writing through it is an error."""
        ...

    def write(self) -> AbstractContextManager[ControlTransaction]:
        """The one writer; commits on leaving, rolls back on an exception. Raises `StorageError` where it cannot."""
        ...

    def close(self) -> None: ...


class EventBatch(msgspec.Struct, frozen=True):
    """New events, and the cursors to save with what they changed."""

    events: list[Event]
    cursors: list[Cursor]
    more: bool = False
    """Whether more were there than the limit let through: tick again at once."""


class EventSource(Protocol):
    """The journals of all data-plane processes, read at least once."""

    def read(self, cursors: Sequence[Cursor], *, limit: int) -> EventBatch:
        """Return events after the cursors, about `limit` at most; processes without a cursor begin at their start."""
        ...


class SnapshotPublisher(Protocol):
    """Where data planes find their routing."""

    def publish(self, snapshot: Snapshot, body: bytes = b"") -> None:
        """Replace the snapshot of its environment; must not replace a higher revision.

        `body` is the snapshot as it was written, where somebody else did: parts that are not known here are kept.
        """
        ...

    def published_revision(self, environment: str) -> int:
        """Revision in force with data planes, the highest known; 0 where there is none or it cannot be read."""
        ...


class ScoreSink(Protocol):
    """Where registered scorers' results go, so that a trace shows them. Ids repeat when a tick is repeated."""

    def record(self, scores: Sequence[Score]) -> None: ...
