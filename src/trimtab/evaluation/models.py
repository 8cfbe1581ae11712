"""Releases that can be asked over HTTP, and what they may cost (`evals.ports.Models`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import msgspec

from trimtab.calls.direct import DirectCalls, DirectLimits
from trimtab.core.canonical import canonical_digest
from trimtab.core.clock import SystemClock
from trimtab.core.errors import InputError, TrimtabError
from trimtab.evals.answers import Answer
from trimtab.releases.model import wire_of
from trimtab.serving.release import PreparedRelease

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from trimtab.evals.answers import Ask
    from trimtab.providers.endpoint import Endpoint
    from trimtab.releases.model import CompiledRelease
    from trimtab.serving.snapshot import Price

__all__ = ["CalledModels", "CalledRelease", "with_model"]

_MILLION = 1_000_000
_OUTPUT_TOKENS = 4_096
"""Taken as the longest answer where the release does not limit it."""
_PER_MESSAGE = 16
"""Tokens that providers add around a message, at most."""
_PER_PART = 8_192
"""Tokens of an image or a file, at most."""
_LIMITS = ("max_completion_tokens", "max_tokens", "max_output_tokens")


class CalledModels:
    """Everything that can be called from here. An async context: connections are dropped at its end."""

    def __init__(
        self,
        endpoints: Mapping[str, Endpoint],
        *,
        prices: Callable[[CompiledRelease], Price | None],
        timeout_seconds: float = 600.0,
    ) -> None:
        self._calls = DirectCalls(endpoints, DirectLimits(upstream_timeout_seconds=timeout_seconds))
        self._prices = prices

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._calls.aclose()

    def subject(self, release: CompiledRelease) -> CalledRelease:
        """Return a release that can be asked; raises `InputError` where its prompt is none.

        Its own model answers or nobody does: what a fallback says is no measure of it.
        """
        return CalledRelease(self._calls, msgspec.structs.replace(release, fallbacks=[]), self._prices(release))

    async def embed(self, model: str, texts: Sequence[str]) -> list[list[float]]:
        """Return the embeddings of texts by `provider/model`; raises `UpstreamError`."""
        provider, _, name = model.partition("/")
        return await self._calls.embed(provider, name, texts)


class CalledRelease:
    """One release (`evals.ports.Subject`)."""

    def __init__(self, calls: DirectCalls, release: CompiledRelease, price: Price | None) -> None:
        self.release = release
        self._calls = calls
        self._prepared = PreparedRelease(release)
        self._price = price
        limits = [release.model.parameters.get(name) for name in _LIMITS]
        self._longest = next((limit for limit in limits if isinstance(limit, int)), _OUTPUT_TOKENS)

    def bound_usd(self, ask: Ask) -> float | None:
        """The most an answer may cost: no token is shorter than a byte, and none follows the release's own limit.

        Where the release has no limit, an answer is taken to end at 4,096 tokens; what is no text, at 8,192.
        """
        if self._price is None:
            return None
        try:
            rendered = self._prepared.render(ask.variables)
        except InputError:
            return 0.0  # it will not be sent
        asked: list[Any] = [*rendered, *ask.messages, self.release.tools, self.release.schema]
        parts = [part for one in ask.messages if isinstance(one.get("content"), list) for part in one["content"]]
        other = sum(part.get("type") not in {"text", "input_text"} for part in parts if isinstance(part, dict))
        tokens = len(msgspec.json.encode(asked)) + _PER_MESSAGE * len(asked) + _PER_PART * other
        return (tokens * self._price.input_usd + self._longest * self._price.output_usd) / _MILLION

    async def answer(self, ask: Ask) -> Answer:
        at_ms = SystemClock().now_ms()
        try:
            heard, problem = await self._calls.call(
                self._prepared, variables=ask.variables, messages=ask.messages, price=self._price
            )
        except TrimtabError as error:
            return Answer(error_code=error.code, error=error.message, at_ms=at_ms)
        code = heard.error_code or ("unknown_error" if problem else "")
        return Answer(
            output=heard.output,
            tool_calls=heard.tool_calls,
            finish_reason=heard.finish_reason,
            served_model=heard.served_model,
            input_tokens=heard.input_tokens,
            output_tokens=heard.output_tokens,
            cost_usd=heard.cost_usd,
            latency_ms=heard.latency_ms,
            attempts=heard.attempts,
            error_code=code,
            error=problem,
            at_ms=at_ms,
        )


def with_model(release: CompiledRelease, model: str) -> CompiledRelease:
    """Return a release with another model in its place, `provider/model`, and a digest of its own.

    Its parameters are kept; its fallbacks are not, for they would hide what the model does. Raises `InputError`.
    """
    provider, _, name = model.partition("/")
    if not (provider and name):
        raise InputError("malformed_model", f"`{model}` names no model", param="model", hint="write provider/model")
    content = msgspec.structs.replace(release.model, provider=provider, model=name, api=msgspec.UNSET)
    changed = msgspec.structs.replace(release, model=content, wire=wire_of(content), fallbacks=[], digest="", number=0)
    return msgspec.structs.replace(changed, digest=canonical_digest(changed), number=release.number)
