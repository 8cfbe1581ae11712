"""Calls of a given release, outside all traffic: nothing is decided, and no journal hears of them."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from trimtab.calls.call import ModelCall
from trimtab.calls.caller import Caller
from trimtab.calls.circuits import log_circuit
from trimtab.calls.mirror import MirrorQueue
from trimtab.calls.plan import Plans
from trimtab.calls.upstreams import Upstreams
from trimtab.core.clock import SystemClock
from trimtab.core.errors import UpstreamError
from trimtab.providers.http import ClientLimits, Request, fetch
from trimtab.providers.resilience import BreakerPolicy, Guards, RetryPolicy
from trimtab.serving.decision import Decision
from trimtab.serving.shadow_budget import ShadowBudgets

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from trimtab.core.clock import Clock
    from trimtab.events import Event, Generation
    from trimtab.providers.endpoint import Endpoint
    from trimtab.serving.release import PreparedRelease
    from trimtab.serving.routing import RoutingTable
    from trimtab.serving.snapshot import Price

__all__ = ["DirectCalls", "DirectLimits"]

_PATIENT = RetryPolicy(max_attempts=6, max_seconds=30.0, max_retry_after_seconds=60.0, budget_ratio=1.0)
"""Nobody waits for an answer of an eval, and each is paid for: better late than asked anew."""
_FIRST_ERROR_STATUS = 400


class DirectLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How much and how long."""

    max_answer_bytes: int = 64 * 1024 * 1024
    upstream_timeout_seconds: float = 600.0
    """From the call to the last byte of its answer, further attempts among it."""
    max_connections: int = 256
    """Per provider."""


class _Heard(msgspec.Struct, frozen=True):
    data: list[_Vector]


class _Vector(msgspec.Struct, frozen=True):
    index: int
    embedding: list[float]


class DirectCalls:
    """Calls releases on one event loop. Close it on the loop it was used on."""

    def __init__(
        self, endpoints: Mapping[str, Endpoint], limits: DirectLimits | None = None, *, clock: Clock | None = None
    ) -> None:
        self.config = limits or DirectLimits()
        self.clock = clock or SystemClock()
        connections = ClientLimits(
            total_seconds=self.config.upstream_timeout_seconds, max_connections=self.config.max_connections
        )
        self._upstreams = Upstreams(endpoints, connections)
        self.guards = Guards(_PATIENT, BreakerPolicy(enabled=False), random.random, log_circuit)
        self.plans = Plans(self._upstreams, self.guards, self.clock)
        self.mirrors = MirrorQueue(concurrency=1, waiting=1)
        self.shadow_budgets = ShadowBudgets(Path())
        self.plane = _Ear()

    async def call(
        self,
        release: PreparedRelease,
        *,
        variables: Mapping[str, Any],
        messages: Sequence[Mapping[str, Any]],
        price: Price | None,
    ) -> tuple[Generation, str]:
        """Return what a release answered as the event that traffic would have left, and an error in words.

        Tried again and with the release's fallbacks as in traffic, but more patiently. Raises `InputError` where the
        release cannot be asked this.
        """
        compiled = release.compiled
        decision = Decision(compiled.feature, "", release, price=price)
        body: dict[str, Any] = {"messages": [dict(message) for message in messages]}
        caller = Caller(body, compiled.feature, "", dict(variables), stream=False)
        done: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        port = _Port(done)
        call = ModelCall(self, port, caller, decision, "chat")
        self.plane.listen(call.record.id)
        call.start()
        try:
            problem = await done
        finally:
            port.abort()  # where it was cancelled
            heard = self.plane.take(call.record.id)
        return heard, problem

    async def embed(self, provider: str, model: str, texts: Sequence[str]) -> list[list[float]]:
        """Return the embeddings of texts from an API like OpenAI's; raises `UpstreamError`."""
        client, headers = self._upstreams.find(provider)
        body = msgspec.json.encode({"model": model, "input": list(texts)})
        response = await fetch(client, b"POST", b"/embeddings", headers=headers, body=body)
        if response.status >= _FIRST_ERROR_STATUS:
            raise UpstreamError(f"upstream_status_{response.status}", f"{provider}: {_problem(response.body)}")
        try:
            vectors = sorted(msgspec.json.decode(response.body, type=_Heard).data, key=lambda one: one.index)
        except msgspec.DecodeError as error:
            raise UpstreamError("upstream_malformed", f"{provider} sent no embeddings: {error}") from error
        if len(vectors) != len(texts):
            message = f"{provider} sent {len(vectors)} embeddings for {len(texts)} texts"
            raise UpstreamError("upstream_malformed", message)
        return [one.embedding for one in vectors]

    async def aclose(self) -> None:
        """Drop the connections; calls under way fail."""
        self.shadow_budgets.close()
        await self._upstreams.close()


class _Ear:
    """Hears what calls would have written to a journal (`CallPlane`)."""

    process_id = "direct"
    table: RoutingTable | None = None

    def __init__(self) -> None:
        self._heard: dict[str, Generation | None] = {}

    def listen(self, generation: str) -> None:
        self._heard[generation] = None

    def record(self, event: Event) -> bool:
        if event.id in self._heard:
            self._heard[event.id] = event  # type: ignore[assignment]  # only generations are listened for
        return True

    def take(self, generation: str) -> Generation:
        event = self._heard.pop(generation)
        assert event is not None  # noqa: S101 - a call writes its event before it answers
        return event


class _Port:
    """A `CallerPort` that keeps whether the answer is one."""

    def __init__(self, done: asyncio.Future[str]) -> None:
        self.request = Request(b"POST", b"", {})
        self.on_abort: Callable[[], None] | None = None
        self.on_pause: Callable[[], None] | None = None
        self.on_resume: Callable[[], None] | None = None
        self._done = done

    def abort(self) -> None:
        """Give the call up, unless it is over."""
        on_abort, self.on_abort = self.on_abort, None
        if on_abort is not None:
            on_abort()

    def respond(self, status: int, body: bytes, headers: bytes = b"") -> None:  # noqa: ARG002 - the port's
        self.on_abort = None
        if not self._done.done():
            self._done.set_result("" if status < _FIRST_ERROR_STATUS else _problem(body))

    def start(self, status: int, headers: bytes) -> None:
        """Never called: only a stream begins."""

    def write(self, data: bytes) -> None:
        """Never called: only a stream goes on."""

    def end(self) -> None:
        """Never called: only a stream ends."""

    def cut(self) -> None:
        """Never called: only a stream breaks off."""


class _Detail(msgspec.Struct, frozen=True):
    message: str = ""


class _ErrorBody(msgspec.Struct, frozen=True):
    error: _Detail


def _problem(body: bytes) -> str:
    try:
        return msgspec.json.decode(body, type=_ErrorBody).error.message[:300]
    except msgspec.DecodeError:
        return body[:200].decode(errors="replace")
