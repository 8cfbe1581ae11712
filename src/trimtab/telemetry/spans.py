"""Events as OpenTelemetry spans and log events. Pure.

Ids are those that events have: a span's is the last 16 digits of its generation's id, which is what the provider got as
its parent. So whatever is sent twice is the same span.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any

import msgspec
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from trimtab.events import Exposure, Feedback, Score
from trimtab.telemetry import conventions as names
from trimtab.telemetry.conventions import Flag, GenAi, Own
from trimtab.telemetry.messages import output_parts, to_parts
from trimtab.telemetry.otlp_values import key_values, sound

if TYPE_CHECKING:
    from trimtab.events import Generation

__all__ = ["is_sampled", "log_of", "span_of", "trace_of"]

_NS_PER_MS = 1_000_000
_SAMPLED = 0x01
_RANDOM_BITS = 56
_TRACE_DIGITS = 32
_SPAN_DIGITS = 16
_HEX = re.compile(r"[0-9a-f]+")


def trace_of(generation: Generation) -> str:
    """Return the trace a generation is in: its caller's; without one, that of the generation it mirrors, or its own."""
    return generation.trace or (generation.mirrors or generation.id).rpartition("_")[2]


def is_sampled(generation: Generation, ratio: float) -> bool:
    """Return whether its trace is told: as the caller decided; without one, this share of traces.

    By the trace id's last 56 bits, as W3C's Trace Context level 2 wants it: everybody decides alike about one trace.
    """
    if generation.unsampled:
        return False
    if generation.trace or ratio >= 1.0:
        return True
    random = int.from_bytes(_bytes_of(trace_of(generation), _TRACE_DIGITS)[-_RANDOM_BITS // 8 :])
    return random < ratio * (1 << _RANDOM_BITS)


def span_of(generation: Generation, *, content: bool) -> Span:
    """Return a generation as a span; with what people wrote, and who, only where `content` says so."""
    operation = names.OPERATIONS.get(generation.format, "chat")
    begin_ns = generation.at_ms * _NS_PER_MS
    span = Span(
        trace_id=_bytes_of(trace_of(generation), _TRACE_DIGITS),
        span_id=_bytes_of(generation.id[-_SPAN_DIGITS:], _SPAN_DIGITS),
        parent_span_id=_bytes_of(_parent(generation), _SPAN_DIGITS),
        flags=_SAMPLED,
        name=sound(f"{operation} {generation.requested_model}".strip()),
        kind=Span.SPAN_KIND_CLIENT,
        start_time_unix_nano=begin_ns,
        end_time_unix_nano=begin_ns + max(0, round(generation.latency_ms * _NS_PER_MS)),
        attributes=key_values(_call(generation, operation) | (_content(generation) if content else {})),
        events=[
            Span.Event(
                time_unix_nano=begin_ns, name=Flag.EVENT, attributes=key_values(_flag(generation, content=content))
            )
        ],
    )
    if generation.status != "ok":
        span.status.CopyFrom(Status(code=Status.STATUS_CODE_ERROR, message=sound(generation.error_code)))
    return span


def _bytes_of(digits: str, length: int) -> bytes:
    """Return an id; one that an application made up, which may be anything, becomes one that is always the same."""
    if not digits:
        return b""
    if len(digits) == length and _HEX.fullmatch(digits):
        return bytes.fromhex(digits)
    return hashlib.blake2b(digits.encode("utf-8", "replace"), digest_size=length // 2).digest()


def _parent(generation: Generation) -> str:
    return generation.mirrors[-16:] if generation.mirrors else generation.parent_span


def _call(generation: Generation, operation: str) -> dict[str, Any]:
    failed = generation.status != "ok"
    first_ms = generation.first_token_ms if generation.stream else 0.0
    return {
        GenAi.OPERATION: operation,
        GenAi.PROVIDER: names.provider_name(generation.provider),
        GenAi.REQUEST_MODEL: generation.requested_model,
        GenAi.RESPONSE_MODEL: generation.served_model,
        GenAi.STREAM: generation.stream or None,
        GenAi.FIRST_CHUNK: first_ms / 1000 if first_ms else None,
        GenAi.INPUT_TOKENS: generation.input_tokens or None,
        GenAi.OUTPUT_TOKENS: generation.output_tokens or None,
        GenAi.FINISH_REASONS: [generation.finish_reason] if generation.finish_reason else None,
        names.ERROR_TYPE: (generation.error_code or generation.status) if failed else None,
        names.HTTP_STATUS: generation.http_status or None,
        **_release(generation),
        Own.GENERATION: generation.id,
        Own.MIRRORS: generation.mirrors,
        Own.TEAM: generation.team,
        Own.COST: generation.cost_usd or None,
        Own.ATTEMPTS: generation.attempts if generation.attempts > 1 else None,
        Own.FALLBACK: generation.fallback or None,
        **{f"{Own.ATTRIBUTE}{name}": value for name, value in generation.attributes.items()},
    }


def _release(event: Generation | Exposure) -> dict[str, Any]:
    return {
        Own.FEATURE: event.feature,
        Own.RELEASE: _label(event),
        Own.DIGEST: event.release,
        Own.ENVIRONMENT: event.environment,
        Own.ARM: event.arm,
        Own.ROLLOUT: event.rollout,
        Own.STEP: event.stage if event.stage >= 0 else None,
    }


def _label(event: Generation | Exposure) -> str:
    return f"{event.feature}#{event.release_number}" if event.release_number else ""


def _flag(event: Generation | Exposure, *, content: bool) -> dict[str, Any]:
    return {
        Flag.KEY: event.feature,
        Flag.PROVIDER: "trimtab",
        Flag.VARIANT: _label(event) or event.release,
        Flag.REASON: "split" if event.rollout else "static",
        Flag.SET: event.environment,
        Flag.VERSION: f"{event.rollout}/{event.stage}" if event.rollout else None,
        Flag.CONTEXT: event.unit if content else None,
    }


def _content(generation: Generation) -> dict[str, Any]:
    told = generation.output or generation.tool_calls
    output = output_parts(generation.output, generation.tool_calls, generation.finish_reason) if told else None
    return {
        GenAi.INPUT_MESSAGES: _json(to_parts(generation.messages)) if generation.messages else None,
        GenAi.OUTPUT_MESSAGES: _json(output) if output else None,
        Own.UNIT: generation.unit,
    }


def _json(value: Any) -> str:  # noqa: ANN401 - any JSON value
    return msgspec.json.encode(value).decode()


def log_of(event: Exposure | Score | Feedback, *, content: bool) -> LogRecord:
    """Return what has no duration as a log event: a unit that met a release, a judgement, a user's signal."""
    at_ns = event.at_ms * _NS_PER_MS
    if isinstance(event, Exposure):
        name, attributes = Flag.EVENT, _release(event) | _flag(event, content=content)
    else:
        name = GenAi.EVALUATION_EVENT
        source = event.source if isinstance(event, Score) else "feedback"
        attributes = {
            GenAi.EVALUATION_NAME: event.name,
            GenAi.EVALUATION_VALUE: event.value,
            GenAi.EVALUATION_EXPLANATION: event.comment if content else None,
            Own.FEATURE: event.feature,
            Own.ENVIRONMENT: event.environment,
            Own.GENERATION: event.generation,
            Own.SOURCE: source,
        }
    return LogRecord(
        time_unix_nano=at_ns, observed_time_unix_nano=at_ns, event_name=name, attributes=key_values(attributes)
    )
