"""How one model call becomes one event, the same way in the SDK and in the gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from trimtab.core.ids import new_id
from trimtab.events import Generation

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from trimtab.core.clock import Clock
    from trimtab.events import Arm
    from trimtab.serving.release import PreparedRelease
    from trimtab.serving.routing import Decision
    from trimtab.serving.snapshot import Price

__all__ = ["GenerationRecord", "begin"]

_NS_PER_MS = 1e6
_PER_MILLION = 1e-6


class GenerationRecord:
    """A model call in progress. `finish` makes the event; it may be called once."""

    __slots__ = (
        "_clock",
        "_decision",
        "_first_ns",
        "_mirrors",
        "_price",
        "_release",
        "_started_ns",
        "arm",
        "at_ms",
        "id",
    )

    def __init__(self, decision: Decision, *, clock: Clock, mirrors: str = "") -> None:
        self._decision = decision
        self._clock = clock
        self._mirrors = mirrors
        shadow = decision.mirror if mirrors else None
        self._release: PreparedRelease = shadow or decision.release
        self._price: Price | None = decision.mirror_price if mirrors else decision.price
        self.arm: Arm = "shadow" if mirrors else decision.arm
        self.at_ms = clock.now_ms()
        self.id = new_id("gen", self.at_ms)
        self._started_ns = clock.monotonic_ns()
        self._first_ns = 0

    def first_token(self) -> None:
        """Note the moment the first byte of the answer arrived; later calls change nothing."""
        if not self._first_ns:
            self._first_ns = self._clock.monotonic_ns()

    def finish(  # noqa: PLR0913 - the facts of a call
        self,
        *,
        process: str,
        status: Literal["ok", "error", "aborted"] = "ok",
        error_code: str = "",
        http_status: int = 0,
        stream: bool = False,
        requested_model: str = "",
        served_model: str = "",
        input_tokens: int = 0,
        output_tokens: int = 0,
        finish_reason: str = "",
        variables: Mapping[str, Any] | None = None,
        messages: Sequence[dict[str, Any]] = (),
        output: str = "",
        tool_calls: Sequence[dict[str, Any]] = (),
        trace: str = "",
    ) -> Generation:
        """Return the event. Content is left out where the feature does not capture it."""
        decision, model, captured = self._decision, self._release.compiled.model, self._decision.capture_content
        ended_ns = self._clock.monotonic_ns()
        first_ns = self._first_ns or ended_ns
        return Generation(
            id=self.id,
            at_ms=self.at_ms,
            feature=decision.feature,
            environment=decision.environment,
            process=process,
            release=self._release.digest,
            release_number=self._release.number,
            arm=self.arm,
            unit=decision.unit,
            rollout=decision.rollout,
            stage=decision.stage,
            provider=model.provider,
            requested_model=requested_model or model.model,
            served_model=served_model,
            status=status,
            error_code=error_code,
            http_status=http_status,
            stream=stream,
            latency_ms=(ended_ns - self._started_ns) / _NS_PER_MS,
            first_token_ms=(first_ns - self._started_ns) / _NS_PER_MS,
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            cost_usd=self._cost(input_tokens, output_tokens),
            finish_reason=finish_reason,
            variables=dict(variables or {}) if captured else {},
            messages=list(messages) if captured else [],
            output=output if captured else "",
            tool_calls=list(tool_calls) if captured else [],
            mirrors=self._mirrors,
            trace=trace,
        )

    def _cost(self, input_tokens: int, output_tokens: int) -> float:
        price = self._price
        if price is None:
            return 0.0
        return (input_tokens * price.input_usd + output_tokens * price.output_usd) * _PER_MILLION


def begin(decision: Decision, *, clock: Clock) -> GenerationRecord:
    """Start recording the call that answers the user."""
    return GenerationRecord(decision, clock=clock)


def begin_mirror(decision: Decision, *, clock: Clock, mirrors: str) -> GenerationRecord:
    """Start recording the candidate's shadow call beside the generation `mirrors`."""
    return GenerationRecord(decision, clock=clock, mirrors=mirrors)
