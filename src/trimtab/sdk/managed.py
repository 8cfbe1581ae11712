"""Managed calls: Trimtab itself calls the model, over its own connections, with retries and the release's fallbacks."""

from __future__ import annotations

import asyncio
import contextlib
import random
from typing import TYPE_CHECKING, Any, Self

import msgspec

from trimtab.calls import Plans, Upstreams
from trimtab.calls.call import ModelCall
from trimtab.calls.caller import Caller
from trimtab.calls.circuits import log_circuit
from trimtab.calls.mirror import MirrorQueue
from trimtab.core.errors import InputError
from trimtab.providers.http import ClientLimits
from trimtab.providers.resilience import BreakerPolicy, Guards, RetryPolicy
from trimtab.sdk.managed_answer import answer_of
from trimtab.sdk.managed_port import StreamPort, WholePort
from trimtab.sdk.request import checked_attributes, checked_variables, plain, plain_items
from trimtab.sdk.short_chat import ShortWays
from trimtab.serving.shadow_budget import ShadowBudgets

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncGenerator, Mapping, Sequence
    from types import TracebackType

    from trimtab.providers.endpoint import Endpoint
    from trimtab.sdk.managed_answer import Answered, ChatAnswer, ChatChunk
    from trimtab.serving.decision import Decision
    from trimtab.serving.runtime import DataPlane

__all__ = ["AsyncCalls", "ManagedLimits"]

_MIRRORS_AT_ONCE, _MIRRORS_WAITING = 8, 64
_CLOSE_SECONDS = 2.0
_POLL_SECONDS = 0.02
_DECIDED = frozenset({"model", "trimtab"})
"""Fields of the gateway's callers that arguments stand for here."""


class ManagedLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How much and how long; times in seconds."""

    max_answer_bytes: int = 64 * 1024 * 1024
    connect_timeout_seconds: float = 10.0
    silence_timeout_seconds: float = 300.0
    """Longest silence of an upstream."""
    upstream_timeout_seconds: float = 600.0
    """From the call to the last byte of its answer, further attempts among it."""
    max_upstream_connections: int = 512
    """Per provider."""
    retry: RetryPolicy = RetryPolicy()
    breaker: BreakerPolicy = BreakerPolicy()


class AsyncCalls:
    """Calls features on one event loop; made by `Trimtab.async_calls`. Close it on the loop it was used on."""

    def __init__(
        self,
        plane: DataPlane,
        endpoints: Mapping[str, Endpoint],
        *,
        limits: ManagedLimits | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.config = limits or ManagedLimits()
        self.plane = plane
        self.clock = plane.clock
        self._upstreams = Upstreams(
            endpoints,
            ClientLimits(
                connect_seconds=self.config.connect_timeout_seconds,
                read_seconds=self.config.silence_timeout_seconds,
                total_seconds=self.config.upstream_timeout_seconds,
                max_connections=self.config.max_upstream_connections,
            ),
            tls=tls,
        )
        self.guards = Guards(self.config.retry, self.config.breaker, random.random, log_circuit)
        self.plans = Plans(self._upstreams, self.guards, self.clock)
        self.mirrors = MirrorQueue(concurrency=_MIRRORS_AT_ONCE, waiting=_MIRRORS_WAITING)
        self.shadow_budgets = ShadowBudgets(plane.directory.usage)
        self._ways = ShortWays(self)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def chat(
        self,
        feature: str,
        *,
        unit: str = "",
        session: str = "",
        variables: Mapping[str, Any] | None = None,
        attributes: Mapping[str, str] | None = None,
        messages: Sequence[Mapping[str, Any]] = (),
        **fields: Any,  # noqa: ANN401 - as OpenAI's API takes them
    ) -> ChatAnswer:
        """Return the answer of the release that `unit` meets.

        `messages` follow the release's own; `fields` are others of OpenAI's chat completions that the release does not
        pin. Raises `NotFoundError` (`unknown_feature`), `InputError` that names a field or variable, `UpstreamError`
        where no model of the release's chain answered. Cancelling gives the call up; it is recorded as aborted.
        """
        if fields.get("stream"):
            raise InputError("invalid_type", "`chat` returns whole answers", param="stream", hint="call `stream`")
        decision, caller = self._understand(feature, (unit, session), (variables, attributes), messages, fields)
        answered: asyncio.Future[Answered] = asyncio.get_running_loop().create_future()
        short = self._ways.begin(decision, caller, answered)
        if short is not None:
            return await answer_of(answered, decision, short.id, short.abort)
        port = WholePort(answered)
        call = ModelCall(self, port, caller, decision, "chat")
        call.start()
        return await answer_of(answered, decision, call.record.id, port.abort)

    async def stream(
        self,
        feature: str,
        *,
        unit: str = "",
        session: str = "",
        variables: Mapping[str, Any] | None = None,
        attributes: Mapping[str, str] | None = None,
        messages: Sequence[Mapping[str, Any]] = (),
        **fields: Any,  # noqa: ANN401 - as OpenAI's API takes them
    ) -> AsyncGenerator[ChatChunk, None]:
        """Yield the chunks of an answer as they come; arguments and errors as `chat`.

        Leaving the loop early and closing the iterator gives the call up; it is recorded as aborted.
        """
        fields["stream"] = True
        decision, caller = self._understand(feature, (unit, session), (variables, attributes), messages, fields)
        port = StreamPort()
        ModelCall(self, port, caller, decision, "chat").start()
        try:
            while (chunk := await port.next()) is not None:
                yield chunk
        finally:
            port.abort()

    async def aclose(self) -> None:
        """Wait shortly for mirrored requests, then drop the connections; calls under way fail."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_SECONDS):
                while self.mirrors.pending:  # noqa: ASYNC110 - bounded
                    await asyncio.sleep(_POLL_SECONDS)
        self.mirrors.abandon()
        self.shadow_budgets.close()
        await self._upstreams.close()

    def _understand(
        self,
        feature: str,
        who: tuple[str, str],
        said: tuple[Mapping[str, Any] | None, Mapping[str, str] | None],
        messages: Sequence[Mapping[str, Any]],
        fields: dict[str, Any],
    ) -> tuple[Decision, Caller]:
        if not _DECIDED.isdisjoint(fields):
            name = min(_DECIDED & fields.keys())
            raise InputError(
                "pinned_field",
                f"`{name}` is not the caller's to say: the feature decides the model",
                param=name,
                hint="pass `variables=` and `unit=`, and leave it out",
            )
        (unit, session), (variables, attributes) = who, said
        values = checked_variables(variables)
        labels = checked_attributes(attributes)
        body = {name: plain(value, name) for name, value in fields.items()}
        body["messages"] = plain_items(messages, "messages")
        decision = self.plane.decide(feature, unit, session)
        return decision, Caller(body, feature, unit, values, body.get("stream") is True, attributes=labels)
