"""Tool calls: which tool, with which arguments, and whether a program can make the call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trimtab.behaviour.detector import Detector
from trimtab.behaviour.reading import type_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from trimtab.behaviour.reading import Reading

__all__ = ["DETECTORS", "calls_tool"]


def _called(reading: Reading) -> bool:
    """There is at least one tool call."""
    return bool(reading.output.tool_calls)


def _parallel(reading: Reading) -> bool | None:
    """There is more than one tool call. Asked where there is one."""
    return len(reading.calls) > 1 if reading.calls else None


def _beside_text(reading: Reading) -> bool | None:
    """There is text beside the tool calls. Asked where there is a call."""
    return bool(reading.stripped) if reading.calls else None


def _invalid(reading: Reading) -> bool | None:
    """The arguments of a tool call are no JSON object. Asked where there is a call."""
    return any(call.arguments is None for call in reading.calls) if reading.calls else None


def _unknown(reading: Reading) -> bool | None:
    """A tool call names a tool that the model was not given. Asked where there is a call."""
    known = reading.expected.tools or frozenset()
    return any(call.name not in known for call in reading.calls) if reading.calls else None


def _arguments(reading: Reading) -> bool | None:
    """Every tool call has exactly the argument keys that are most common for its tool among both sides' calls."""
    usual = reading.usual.arguments
    return (
        all(call.arguments is not None and usual.get(call.name) == call.arguments.keys() for call in reading.calls)
        if reading.calls
        else None
    )


def _argument_types(reading: Reading) -> bool | None:
    """Every argument of every tool call has the type most common for it among both sides' calls; null is no type."""
    usual = reading.usual.argument_types
    if not reading.calls:
        return None
    return all(
        value is None or type_name(value) == usual.get((call.name, key))
        for call in reading.calls
        for key, value in (call.arguments or {}).items()
    )


def calls_tool(name: str) -> Detector:
    """Return the detector of one tool, which is made where outputs call it."""

    def measure(reading: Reading) -> bool:
        return any(call.name == name for call in reading.calls)

    return Detector(f"tool.calls.{name}", "breaks", f"calls `{name}`", _documented(measure, name), worse="either")


def _documented(measure: Callable[[Reading], bool], name: str) -> Callable[[Reading], bool]:
    measure.__doc__ = f"There is a call of `{name}`."
    return measure


DETECTORS = (
    Detector("tool.called", "breaks", "calls a tool", _called, worse="either"),
    Detector(
        "tool.invalid_arguments",
        "breaks",
        "calls a tool with arguments that are no JSON object",
        _invalid,
        worse="more",
    ),
    Detector("tool.unknown", "breaks", "calls a tool that does not exist", _unknown, worse="more", needs="tools"),
    Detector("tool.arguments", "breaks", "calls with the usual arguments", _arguments, worse="unusual"),
    Detector(
        "tool.argument_types", "breaks", "calls with arguments of the usual types", _argument_types, worse="unusual"
    ),
    Detector("tool.parallel", "breaks", "makes several calls at once", _parallel, worse="either"),
    Detector("tool.text", "content", "says something beside its calls", _beside_text),
)
