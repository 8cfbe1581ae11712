"""How one model call becomes one event, the same way in the SDK and in the gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import msgspec

from trimtab.core.clock import Clock
from trimtab.core.ids import new_id
from trimtab.events import Arm, Generation
from trimtab.serving.decision import Decision
from trimtab.serving.release import PreparedRelease
from trimtab.serving.snapshot import Price

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from trimtab.artifacts.model import ModelContent

__all__ = ["NS_PER_MS", "PER_MILLION", "Answer", "GenerationRecord", "begin", "begin_mirror"]

NS_PER_MS = 1e6
PER_MILLION = 1e-6


class Answer(msgspec.Struct, frozen=True):
    """The facts of one answer that a generation records, whichever provider gave it."""

    output: str = ""
    """Text of the first choice; its refusal where the model refused."""
    tool_calls: list[dict[str, Any]] = []
    """In the shape of OpenAI's chat completions."""
    finish_reason: str = ""
    """As the provider gave it; `refusal` where the message carries OpenAI's `refusal` field."""
    served_model: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    error_code: str = ""
    """Why the answer is a failure; empty where it is none."""


_NOTHING = Answer()


class GenerationRecord(msgspec.Struct, eq=False):
    """A model call in progress, from `begin` or `begin_mirror`. `finish` makes the event; it may be called once."""

    decision: Decision
    clock: Clock
    release: PreparedRelease
    price: Price | None
    arm: Arm
    at_ms: int
    id: str
    started_ns: int
    mirrors: str = ""
    first_ns: int = 0
    ended_ns: int = 0
    """When the call was over; 0 where that is when `finish` is called."""

    def first_token(self) -> None:
        """Note the moment the first byte of the answer arrived; later calls change nothing."""
        if not self.first_ns:
            self.first_ns = self.clock.monotonic_ns()

    def finish(  # noqa: PLR0913 - the facts of a call
        self,
        answer: Answer = _NOTHING,
        *,
        process: str,
        status: Literal["ok", "error", "aborted"] = "ok",
        http_status: int = 0,
        stream: bool = False,
        variables: Mapping[str, Any] | None = None,
        attributes: Mapping[str, str] | None = None,
        unsampled: bool = False,
        messages: Sequence[dict[str, Any]] = (),
        trace: str = "",
        parent_span: str = "",
        format: str = "chat",  # noqa: A002 - the event's field
        team: str = "",
        attempts: int = 1,
        fallback: int = 0,
        model: ModelContent | None = None,
        price: Price | None = None,
    ) -> Generation:
        """Return the event. Content is left out where the feature does not capture it.

        `model` and `price` are those of the fallback that answered; of the release itself where absent.
        """
        decision = self.decision
        captured = decision.capture_content
        model = model or self.release.compiled.model
        price = price if fallback else self.price
        input_tokens, output_tokens = answer.input_tokens, answer.output_tokens
        ended_ns = self.ended_ns or self.clock.monotonic_ns()
        started_ns = self.started_ns
        release = self.release
        latency_ms = (ended_ns - started_ns) / NS_PER_MS
        # Positional, in the order of the fields: by keyword, 35 of them cost more than writing the event.
        return Generation(
            self.id,
            self.at_ms,
            decision.feature,
            decision.environment,
            release.digest,
            process,
            release.number,
            self.arm,
            decision.unit,
            decision.rollout,
            decision.stage,
            model.provider,
            model.model,
            answer.served_model,
            status,
            answer.error_code,
            http_status,
            stream,
            latency_ms,
            (self.first_ns - started_ns) / NS_PER_MS if self.first_ns else latency_ms,
            input_tokens,
            output_tokens,
            (input_tokens * price.input_usd + output_tokens * price.output_usd) * PER_MILLION if price else 0.0,
            answer.finish_reason,
            dict(variables) if captured and variables else {},
            list(messages) if captured else [],
            answer.output if captured else "",
            list(answer.tool_calls) if captured else [],
            self.mirrors,
            trace,
            parent_span,
            format,
            team,
            attempts,
            fallback,
            dict(attributes) if attributes else {},
            "",
            unsampled,
        )


def begin(decision: Decision, *, clock: Clock) -> GenerationRecord:
    """Start recording the call that answers the user."""
    at_ms = clock.now_ms()
    return GenerationRecord(
        decision,
        clock,
        decision.release,
        decision.price,
        decision.arm,
        at_ms,
        new_id("gen", at_ms),
        clock.monotonic_ns(),
    )


def begin_mirror(decision: Decision, *, clock: Clock, mirrors: str) -> GenerationRecord:
    """Start recording the candidate's shadow call beside the generation `mirrors`."""
    at_ms = clock.now_ms()
    return GenerationRecord(
        decision,
        clock,
        decision.mirror or decision.release,
        decision.mirror_price,
        "shadow",
        at_ms,
        new_id("gen", at_ms),
        clock.monotonic_ns(),
        mirrors,
    )
