"""What a call needs of the surface that makes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from trimtab.calls.mirror import MirrorQueue
    from trimtab.calls.plan import Plans
    from trimtab.core.clock import Clock
    from trimtab.events import Event
    from trimtab.providers.http import Request
    from trimtab.providers.resilience import Guards
    from trimtab.serving.routing import RoutingTable
    from trimtab.serving.runtime import DataPlane
    from trimtab.serving.shadow_budget import ShadowBudgets

__all__ = ["CallContext", "CallLimits", "CallPlane", "CallerPort", "ServingContext"]


class CallLimits(Protocol):
    """How much and how long."""

    @property
    def max_answer_bytes(self) -> int:
        """A complete answer larger than this is given up."""
        ...

    @property
    def upstream_timeout_seconds(self) -> float:
        """From the call to the last byte of its answer, further attempts among it."""
        ...


class CallPlane(Protocol):
    """Where a call's event goes, and what is served just now."""

    @property
    def process_id(self) -> str: ...
    @property
    def table(self) -> RoutingTable | None: ...

    def record(self, event: Event) -> bool:
        """Take an event; returns whether it was taken."""
        ...


class CallContext(Protocol):
    """The process's own: its data plane, its connections to providers and how they fare."""

    @property
    def config(self) -> CallLimits: ...

    @property
    def plane(self) -> CallPlane: ...

    plans: Plans
    guards: Guards
    mirrors: MirrorQueue
    shadow_budgets: ShadowBudgets
    clock: Clock


class ServingContext(CallContext, Protocol):
    """The same, of a process that serves."""

    @property
    def plane(self) -> DataPlane: ...


class CallerPort(Protocol):
    """Where the answer goes: `respond` once, or `start`, any number of `write`, and `end` or `cut`.

    `on_abort` is called where the caller goes away first, `on_pause` and `on_resume` as it falls behind and catches up.
    `providers.http.Exchange` is one.
    """

    request: Request
    on_abort: Callable[[], None] | None
    on_pause: Callable[[], None] | None
    on_resume: Callable[[], None] | None

    def respond(self, status: int, body: bytes, headers: bytes = ...) -> None: ...
    def start(self, status: int, headers: bytes) -> None: ...
    def write(self, data: bytes) -> None: ...
    def end(self) -> None: ...
    def cut(self) -> None: ...
