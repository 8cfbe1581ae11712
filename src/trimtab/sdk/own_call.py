"""A model call that the application made itself: what it tells of it, checked, and the event that becomes of that.

What a call is judged by (its status, tokens, times, names) is refused where it is of a wrong type: the programmer
hears of it at the first call. What was said in it is never a reason to refuse: one odd answer among a million must not
cost the record of the call, or the user's own answer.
"""

from __future__ import annotations

import enum
import functools
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypedDict

import msgspec

from trimtab.core.errors import InputError
from trimtab.core.ids import id_time_ms
from trimtab.sdk.request import checked_attributes, plain_items
from trimtab.serving.decision import Decision
from trimtab.serving.generation import Answer, GenerationRecord
from trimtab.serving.runtime import DataPlane

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trimtab.events import Generation

__all__ = ["NO_TOKENS", "CallDetails", "EndedCall", "OwnCall", "own_call", "tokens_of"]

_NS_PER_MS = 1e6
_MOST_TOKENS = 2**53
"""Beyond it a count is no count any more: floats, and so costs, could not hold it."""
_HIGHEST_STATUS = 999
_NO_JSON: Any = object()
"""In place of what cannot be recorded: no event can hold it, so it is left out and counted."""
NO_TOKENS = (0, 0)


class CallDetails(TypedDict, total=False):
    """What else is known about a model call that the application made itself; `None` says nothing."""

    status: Literal["ok", "error", "aborted"] | None
    error_code: str | None
    http_status: int | None
    served_model: str | None
    finish_reason: str | None
    tool_calls: Sequence[Any] | None
    """In the shape of OpenAI's chat completions: dicts, or the objects of `openai`."""
    stream: bool | None
    trace: str | None
    attributes: Mapping[str, str] | None
    """Labels for segments, such as a language; left out where they are not what the reference says."""
    latency_ms: float | None
    """The whole call; the time since `resolve` where absent, negative or not finite."""
    first_token_ms: float | None
    """From the call to the first piece of the answer; `latency_ms` where absent, negative or not finite."""


class OwnCall(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """The same with every fact of the type it is recorded in; what was said as far as it goes."""

    output: Any
    tool_calls: Any
    attributes: Any = None
    status: Literal["ok", "error", "aborted"] = "ok"
    error_code: str = ""
    http_status: Annotated[int, msgspec.Meta(ge=0, le=_HIGHEST_STATUS)] = 0
    served_model: str = ""
    finish_reason: str = ""
    stream: bool = False
    trace: str = ""
    latency_ms: float = math.nan
    first_token_ms: float = math.nan


def own_call(output: Any, details: Mapping[str, Any]) -> OwnCall:  # noqa: ANN401 - whatever is passed
    """Return what an application tells of its call; raises `InputError` (`invalid_detail`) that names what is wrong."""
    told = {name: _exact(value) for name, value in details.items() if value is not None}
    content = {
        "output": "" if output is None else output if isinstance(output, str) else _NO_JSON,
        "tool_calls": _kept(told.pop("tool_calls", ())),
        "attributes": _labels(told.pop("attributes", None)),
    }
    try:
        return msgspec.convert({**told, **content}, OwnCall)
    except msgspec.ValidationError as error:
        what, _, name = str(error).partition(" - at `$.")
        name = name.removesuffix("`")
        raise InputError(
            "invalid_detail",
            f"{f'`{name}`' if name else 'what was told'} of a call is wrong: {what}",
            param=name or None,
            hint=f"it takes {', '.join(CallDetails.__annotations__)}",
        ) from error


class EndedCall(msgspec.Struct, frozen=True, eq=False, gc=False):
    """A call that is over, as it waits for the journal's thread to make its event (decision 3)."""

    id: str
    decision: Decision
    started_ns: int
    ended_ns: int
    output: Any
    input_tokens: int
    output_tokens: int
    told: OwnCall | None
    """What else is known, if anything is."""
    plane: DataPlane
    messages: Any = ()
    """What was sent, where it is known."""
    variables: dict[str, Any] | None = None

    def event(self) -> Generation:
        """Return its generation."""
        decision, told = self.decision, self.told
        record = GenerationRecord(
            decision,
            self.plane.clock,
            decision.release,
            decision.price,
            decision.arm,
            id_time_ms(self.id),
            self.id,
            self.started_ns,
            ended_ns=self.ended_ns,
        )
        call = told or OwnCall(self.output, ())
        spent = self.input_tokens, self.output_tokens
        event = record.finish(
            Answer(call.output, call.tool_calls, call.finish_reason, call.served_model, *spent, call.error_code),
            process=self.plane.process_id,
            status=call.status,
            http_status=call.http_status,
            stream=call.stream,
            trace=call.trace,
            variables=self.variables,
            attributes=call.attributes,
            messages=self.messages if isinstance(self.messages, list | tuple) else [_NO_JSON],
        )
        return event if told is None else _timed(event, told)


def _timed(event: Generation, told: OwnCall) -> Generation:
    """Return an event with the times that the application took, where it took any."""
    latency_ms = _duration(told.latency_ms, event.latency_ms)
    first_token_ms = _duration(told.first_token_ms, latency_ms)
    return msgspec.structs.replace(event, latency_ms=latency_ms, first_token_ms=first_token_ms)


def _duration(told_ms: float, measured_ms: float) -> float:
    return told_ms if 0.0 <= told_ms < math.inf else measured_ms


def _exact(value: Any) -> Any:  # noqa: ANN401 - whatever is passed
    """Return a value of a derived type (a `numpy.float64`) as what it is derived from, a text so that it encodes."""
    if isinstance(value, bool | enum.Enum):
        return value
    if isinstance(value, str):
        return value.encode(errors="replace").decode()
    kind = next((kind for kind in (int, float) if isinstance(value, kind)), None)
    return value if kind is None else kind(value)


def _kept(tool_calls: Any) -> list[Any]:  # noqa: ANN401 - whatever is passed
    """Return tool calls as plain JSON, as far as they have such a form."""
    try:
        return plain_items(tool_calls, "tool_calls")
    except Exception:  # noqa: BLE001 - the application's own objects may raise anything, and the call must be recorded
        return [_NO_JSON]


def _labels(attributes: Any) -> dict[str, Any]:  # noqa: ANN401 - whatever is passed
    """Return attributes as they may be recorded, as far as they may."""
    try:
        return checked_attributes(attributes)
    except InputError:
        return {"": _NO_JSON}


def tokens_of(usage: Any) -> tuple[int, int]:  # noqa: ANN401 - a mapping or the provider's own usage object
    """Return the tokens sent and said; raises `InputError` (`invalid_detail`) for what counts none."""
    maps = type(usage) is dict or isinstance(usage, Mapping)
    given = usage.get if maps else functools.partial(_attribute, usage)
    sent, said = given("input_tokens"), given("output_tokens")
    if sent is None:
        sent = given("prompt_tokens")
    if said is None:
        said = given("completion_tokens")
    if type(sent) is not int or type(said) is not int:
        if sent is None and said is None and not maps:
            raise _no_usage(f"a `{type(usage).__name__}` has no `input_tokens` or `prompt_tokens`")
        try:
            sent, said = int(sent or 0), int(said or 0)
        except (TypeError, ValueError, OverflowError) as error:
            raise _no_usage(str(error)) from error
    if 0 <= sent <= _MOST_TOKENS and 0 <= said <= _MOST_TOKENS:
        return sent, said
    raise _no_usage(f"a count is between 0 and {_MOST_TOKENS}")


def _attribute(usage: Any, name: str) -> Any:  # noqa: ANN401 - as above
    return getattr(usage, name, None)


def _no_usage(why: str) -> InputError:
    return InputError(
        "invalid_detail",
        f"`usage` does not count tokens: {why}",
        param="usage",
        hint="pass the provider's own usage object, or {'input_tokens': 12, 'output_tokens': 34}",
    )
