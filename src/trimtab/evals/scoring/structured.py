"""Scorers that look at structure: JSON, its schema, what stands in it, and calls of tools."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jsonschema_rs
import msgspec

from trimtab.analysis.measures import json_value, satisfies
from trimtab.core.errors import InputError
from trimtab.evals.datasets.item import text_of
from trimtab.evals.scoring.case import HOLDS, NOTHING, LocalSpec, Scored, fails, verdict
from trimtab.evals.scoring.json_path import find_all, parse_path

if TYPE_CHECKING:
    from trimtab.evals.scoring.case import Case

__all__ = ["Json", "JsonPath", "ToolCalls"]

_NO_JSON = json_value("")


class Json(LocalSpec, frozen=True, kw_only=True, tag="json"):
    """The whole answer is one JSON value, and satisfies a JSON Schema (draft 2020-12) where there is one."""

    schema: dict[str, Any] | None = None
    of_release: bool = False
    """The schema is the response format of the release that answered, where it has one."""

    def __post_init__(self) -> None:
        if self.schema is not None:
            check_schema(self.schema)

    def judge(self, case: Case) -> Scored:
        release = case.release
        schema = self.schema
        if self.of_release and release is not None and release.schema is not None:
            schema = release.schema.schema
        if json_value(case.answer.output) is _NO_JSON:
            return fails("it is not JSON")
        if schema is None:
            return HOLDS
        return verdict(satisfies(case.answer.output, msgspec.json.encode(schema)), "the schema is not satisfied")


class JsonPath(LocalSpec, frozen=True, kw_only=True, tag="jsonPath"):
    """What a JSONPath leads to is there, and is the expected value where one is given."""

    path: str
    equals: Any = None
    """The expected value; the item's `expected` at the same path where `of_expected`."""
    of_expected: bool = False

    def __post_init__(self) -> None:
        parse_path(self.path)

    def judge(self, case: Case) -> Scored:
        value = json_value(case.answer.output)
        if value is _NO_JSON:
            return fails("it is not JSON")
        steps = parse_path(self.path)
        found = find_all(value, steps)
        if self.of_expected:
            wanted = find_all(case.item.expected, steps)
            return (
                verdict(found == wanted, f"{self.path} is {_told(found)}, expected {_told(wanted)}")
                if wanted
                else NOTHING
            )
        if self.equals is None:
            return verdict(bool(found), f"there is nothing at {self.path}")
        return verdict(found == [self.equals], f"{self.path} is {_told(found)}, expected {text_of(self.equals)}")


class ToolCalls(LocalSpec, frozen=True, kw_only=True, tag="toolCalls"):
    """Every call is of a tool that the release has, with arguments that satisfy its parameters."""

    names: list[str] = []
    """The tools that must be called, in any order, and no others; any where empty."""

    def judge(self, case: Case) -> Scored:
        calls = [call.get("function") or {} for call in case.answer.tool_calls]
        called = sorted(str(call.get("name", "")) for call in calls)
        if self.names and called != sorted(self.names):
            return fails(f"it calls {', '.join(called) or 'nothing'}")
        tools = case.release.tools.tools if case.release is not None and case.release.tools is not None else []
        known = {tool.name: tool.parameters for tool in tools}
        problems = [problem for call in calls if (problem := _problem(call, known))]
        if not calls and not self.names:
            return NOTHING
        return verdict(not problems, "; ".join(problems))


def _problem(call: dict[str, Any], known: dict[str, dict[str, Any]]) -> str:
    name, arguments = str(call.get("name", "")), str(call.get("arguments", ""))
    if known and name not in known:
        return f"there is no tool `{name}`"
    if not isinstance(json_value(arguments), dict):
        return f"the arguments of `{name}` are no JSON object"
    schema = known.get(name)
    if schema and not satisfies(arguments, msgspec.json.encode(schema)):
        return f"the arguments of `{name}` do not satisfy its parameters"
    return ""


def check_schema(schema: dict[str, Any]) -> None:
    """Raise `InputError` (`invalid_json_schema`) for what is no JSON Schema."""
    try:
        jsonschema_rs.validator_for(schema)
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
        raise InputError("invalid_json_schema", f"the JSON Schema is wrong: {error}", param="schema") from error


def _told(found: list[Any]) -> str:
    return ", ".join(text_of(value) for value in found) or "not there"
