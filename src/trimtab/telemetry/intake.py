"""Spans of others as generations: what traffic that does not go through Trimtab did. Pure.

A generation's id is made of its span's trace, id and time, so a span that is sent twice is one generation.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

import msgspec

from trimtab.core.errors import InputError
from trimtab.events import Arm, Generation, read_attributes
from trimtab.telemetry import dialects
from trimtab.telemetry.conventions import Flag, GenAi, Own
from trimtab.telemetry.foreign_messages import prompt_of, said_of
from trimtab.telemetry.otlp_values import attribute_map

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from opentelemetry.proto.trace.v1.trace_pb2 import Span

__all__ = ["IntakePlan", "Known", "Refused", "Skipped", "generation_of"]

_NS_PER_MS = 1_000_000
_LAST_MS = 253_402_300_799_000
_ARMS: dict[str, Arm] = {name: name for name in get_args(Arm)}
_NOT_IN_NAMES = re.compile(r"[^a-z0-9._-]+")
_LABEL = re.compile(r"[^#]+#([0-9]{1,9})")
_MOST_TEXT = 256
_ERROR_STATUS = 2


class Known(NamedTuple):
    """A release that the span names."""

    digest: str
    number: int


FindRelease = Callable[[str, str], Known | None]
"""Feature, and a digest or the number of one of its releases -> the release; `None` where it is not known."""


class IntakePlan(msgspec.Struct, frozen=True, kw_only=True):
    """How spans are read."""

    feature_attributes: tuple[str, ...] = (Own.FEATURE, "service.name")
    """Where a span or its resource names the feature; the first that is there."""
    environment: str = "production"
    """Of spans that name none."""
    content: bool = True
    earliest_ms: int = 1
    """What began before would not be kept; milliseconds since the Unix epoch."""
    latest_ms: int = _LAST_MS
    """What begins later is a clock that is wrong: it would be kept for as long, and look fresh until then."""
    process: str = ""
    team: str = ""


class Skipped(NamedTuple):
    """A span that is nobody's loss: no model call, or one that Trimtab itself recorded and sent."""

    why: Literal["no_call", "own"]


class Refused(NamedTuple):
    """A model call that cannot be recorded."""

    why: str


def generation_of(
    span: Span, resource: Mapping[str, Any], plan: IntakePlan, find_release: FindRelease
) -> Generation | Skipped | Refused:
    """Return what a span tells; `resource` are its resource's attributes."""
    told = attribute_map(span.attributes)
    format_ = _format_of(told)
    if Own.GENERATION in told:
        return Skipped("own")
    if format_ is None:
        return Skipped("no_call")
    if len(span.trace_id) != 16 or len(span.span_id) != 8:  # noqa: PLR2004 - as OTLP has them
        return Refused("its ids are none")
    if wrong := _wrong_times(span, plan):
        return Refused(wrong)
    feature = _feature(told, resource, plan)
    if not feature:
        return Refused(f"it names no feature: {', '.join(plan.feature_attributes)}")
    events = [(event.name, attribute_map(event.attributes)) for event in span.events]
    return _generation(_Reading(span, told, resource, events, plan), feature, format_, find_release)


def _wrong_times(span: Span, plan: IntakePlan) -> str:
    at_ms = span.start_time_unix_nano // _NS_PER_MS
    if not 0 < at_ms < _LAST_MS or span.end_time_unix_nano < span.start_time_unix_nano:
        return "its times are none"
    if not plan.earliest_ms <= at_ms <= plan.latest_ms:
        return "it began in the future, or longer ago than evidence is kept"
    return ""


class _Reading(NamedTuple):
    span: Span
    told: dict[str, Any]
    resource: Mapping[str, Any]
    events: list[tuple[str, dict[str, Any]]]
    plan: IntakePlan


def _generation(reading: _Reading, feature: str, format_: str, find_release: FindRelease) -> Generation:
    span, told, resource, events, plan = reading
    at_ms = span.start_time_unix_nano // _NS_PER_MS
    release = _release(told, events, feature, find_release)
    answer = said_of(told, events)
    status, error = _status(span, told, events)
    usage, costs = _mapping(told.get(dialects.USAGE)), _mapping(told.get(dialects.COSTS))
    latency_ms = (span.end_time_unix_nano - span.start_time_unix_nano) / _NS_PER_MS
    first_ms = _first_token_ms(told, at_ms)
    model = _word(told, dialects.REQUEST_MODEL)
    return Generation(
        id=_id_of(span, at_ms),
        at_ms=at_ms,
        feature=feature,
        environment=_name(_word(told, dialects.ENVIRONMENT) or _word(resource, dialects.ENVIRONMENT))
        or plan.environment,
        release=release.digest,
        release_number=release.number,
        process=plan.process,
        arm=_ARMS.get(_word(told, (Own.ARM,)), "stable"),
        unit=_word(told, dialects.UNIT),
        provider=_word(told, dialects.PROVIDER),
        requested_model=model,
        served_model=_word(told, dialects.RESPONSE_MODEL) or model,
        status=status,
        error_code=error,
        http_status=min(999, _count(told, dialects.STATUS)),
        stream=_streams(told) or bool(first_ms),
        latency_ms=latency_ms,
        first_token_ms=first_ms or latency_ms,
        input_tokens=_count(told, dialects.INPUT_TOKENS) or _count(usage, dialects.USAGE_INPUT),
        output_tokens=_count(told, dialects.OUTPUT_TOKENS) or _count(usage, dialects.USAGE_OUTPUT),
        cost_usd=_amount(told, dialects.COST) or _amount(costs, ("total",)),
        finish_reason=_word(told, dialects.FINISH_REASONS) or answer.finish_reason[:_MOST_TEXT],
        messages=prompt_of(told, events) if plan.content else [],
        output=answer.text if plan.content else "",
        tool_calls=answer.tool_calls if plan.content else [],
        trace=span.trace_id.hex(),
        parent_span=span.parent_span_id.hex(),
        format=format_,
        team=plan.team,
        attributes=_labels(told),
    )


def _format_of(told: Mapping[str, Any]) -> str | None:
    for name in dialects.KIND:
        if isinstance(kind := told.get(name), str):
            return dialects.CALLS.get(kind)
    named = any(name in told for name in dialects.PROVIDER) and any(name in told for name in dialects.REQUEST_MODEL)
    return "chat" if named else None


def _id_of(span: Span, at_ms: int) -> str:
    """Return `gen_`, the time, four digits of the trace's hash, and the span's id, where `events.Generation` has it."""
    trace = hashlib.blake2b(span.trace_id, digest_size=2).hexdigest()
    return f"gen_{at_ms:012x}{trace}{span.span_id.hex()}"


def _feature(told: Mapping[str, Any], resource: Mapping[str, Any], plan: IntakePlan) -> str:
    for name in plan.feature_attributes:
        for where in (told, resource):
            if isinstance(value := where.get(name), str) and (made := _name(value)):
                return made
    return ""


def _name(text: str) -> str:
    """Return what may name a feature or an environment and is nearest to a text; empty where nothing is left of it."""
    return _NOT_IN_NAMES.sub("-", text.lower())[:64].strip("-._")


def _release(
    told: Mapping[str, Any], events: Sequence[tuple[str, dict[str, Any]]], feature: str, find: FindRelease
) -> Known:
    """Return the release that the span names itself, or that an evaluated flag of the feature's name does."""
    flags = [one for name, one in events if name == Flag.EVENT and one.get(Flag.KEY) == feature]
    candidates = [told.get(Own.DIGEST), told.get(Own.RELEASE), *(one.get(Flag.VARIANT) for one in flags)]
    if told.get(Flag.KEY) == feature:
        candidates.append(told.get(Flag.VARIANT))
    for given in candidates:
        if not isinstance(given, str):
            continue
        label = _LABEL.fullmatch(given)
        if found := find(feature, label[1] if label else given):
            return found
    return Known("", 0)


def _status(
    span: Span, told: Mapping[str, Any], events: Sequence[tuple[str, dict[str, Any]]]
) -> tuple[Literal["ok", "error"], str]:
    error = _word(told, dialects.ERROR)
    if span.status.code != _ERROR_STATUS and not error and told.get(dialects.LEVEL) != "ERROR":
        return "ok", ""
    raised = next((_word(one, dialects.ERROR) for name, one in events if name == "exception"), "")
    return "error", error or raised or "error"


def _streams(told: Mapping[str, Any]) -> bool:
    asked = [_mapping(told.get(name)).get("stream") for name in dialects.PARAMETERS]
    return any(one is True for one in (*asked, *(told.get(name) for name in dialects.STREAM)))


def _first_token_ms(told: Mapping[str, Any], at_ms: int) -> float:
    seconds = told.get(GenAi.FIRST_CHUNK)
    if isinstance(seconds, int | float) and 0 < seconds < 1e6:  # noqa: PLR2004 - not infinite
        return 1000.0 * seconds
    began = told.get(dialects.BEGAN_TO_ANSWER)
    if not isinstance(began, str):
        return 0.0
    try:
        moment = datetime.fromisoformat(began.strip('"'))
        return max(0.0, 1000 * moment.timestamp() - at_ms)
    except (ValueError, OverflowError, OSError):
        return 0.0


def _labels(told: Mapping[str, Any]) -> dict[str, str]:
    given = {name.removeprefix(Own.ATTRIBUTE): value for name, value in told.items() if name.startswith(Own.ATTRIBUTE)}
    try:
        return read_attributes(given)
    except InputError:
        return {}


def _word(told: Mapping[str, Any], names: Sequence[str]) -> str:
    for name in names:
        value = told.get(name)
        if isinstance(value, list) and value:
            value = value[0]
        if isinstance(value, str) and value:
            return value[:_MOST_TEXT]
    return ""


def _count(told: Mapping[str, Any], names: Sequence[str]) -> int:
    return min(1 << 53, max(0, round(_amount(told, names))))


def _amount(told: Mapping[str, Any], names: Sequence[str]) -> float:
    for name in names:
        value = told.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e18:  # noqa: PLR2004 - finite
            return float(value)
    return 0.0


def _mapping(value: Any) -> dict[str, Any]:  # noqa: ANN401 - whatever was sent
    if isinstance(value, str):
        try:
            value = msgspec.json.decode(value)
        except (msgspec.DecodeError, RecursionError):
            return {}
    return value if isinstance(value, dict) else {}
