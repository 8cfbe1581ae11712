"""Reading `rollout.yaml`: every complaint names the line and, for a misspelt key, the nearest right one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from trimtab.analysis.model import MetricSpec, ScorerSpec
from trimtab.artifacts.document import Node, nearest
from trimtab.artifacts.yaml_source import parse_yaml
from trimtab.core.errors import SourceError
from trimtab.rollout.spec import (
    DURATION_PATTERN,
    AnalysisStep,
    BakeStep,
    PauseStep,
    RolloutPlan,
    ShadowStep,
    Step,
    find_problem,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["parse_plan"]

_STRUCTS: dict[str, type[msgspec.Struct]] = {
    "": RolloutPlan,
    "metrics": MetricSpec,
    "scorer": ScorerSpec,
    "steps": Step,
    "shadow": ShadowStep,
    "pause": PauseStep,
    "analysis": AnalysisStep,
    "bake": BakeStep,
}
"""The type of the mapping found under a key."""
_PLACE = re.compile(r" - at `\$(?P<path>[^`]*)`$")
_TOKEN = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]")
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<field>[^`]*)`")
_MISSING = re.compile(r"Object missing required field `(?P<field>[^`]*)`")


def parse_plan(text: bytes, *, path: str = "rollout.yaml") -> RolloutPlan:
    """Return the plan in a `rollout.yaml`; raises `SourceError` with file, line and hint."""
    try:
        source = text.decode()
    except UnicodeDecodeError as error:
        line = text[: error.start].count(b"\n") + 1
        raise SourceError("not_utf8", f"byte {error.start} is not UTF-8", path=path, line=line) from error
    root = parse_yaml(source, path)
    try:
        plan = msgspec.convert(root.plain(), RolloutPlan)
    except msgspec.ValidationError as error:
        raise _translate(str(error), root) from None
    problem = find_problem(plan)
    if problem is not None:
        node = _at(root, problem.path)
        raise node.error("invalid_plan", problem.message, hint=problem.hint)
    return plan


def _translate(message: str, root: Node) -> SourceError:
    """Return msgspec's complaint with the line it is about."""
    place = _PLACE.search(message)
    what = message[: place.start()] if place else message
    path = tuple(int(index) if index else key for key, index in _TOKEN.findall(place["path"] if place else ""))
    node = _at(root, path)
    keys = [key for key in path if isinstance(key, str)]
    struct = _STRUCTS.get(keys[-1] if keys else "", RolloutPlan)
    if unknown := _UNKNOWN.match(what):
        culprit = _at(node, (unknown["field"],))
        return culprit.error(
            "unknown_field",
            f"`{unknown['field']}` is not a field of {_named(keys)}",
            hint=nearest(unknown["field"], [field.encode_name for field in msgspec.structs.fields(struct)]),
        )
    if missing := _MISSING.match(what):
        return node.error("missing_field", f"{_named(keys)} needs `{missing['field']}`")
    subject = f"{node.name}: " if node.field else ""
    return node.error("invalid_plan", f"{subject}{_readable(what)}", hint=_hint(what, node))


def _at(node: Node, path: Sequence[str | int]) -> Node:
    """Return the node at a path, or the deepest one on the way that exists."""
    for token in path:
        child = _child(node, token)
        if child is None:
            break
        node = child
    return node


def _child(node: Node, token: str | int) -> Node | None:
    if isinstance(token, str):
        return node.value.get(token) if isinstance(node.value, dict) else None
    return node.value[token] if isinstance(node.value, list) and token < len(node.value) else None


def _named(keys: Sequence[str]) -> str:
    if not keys:
        return "a rollout plan"
    return {"metrics": "a metric", "steps": "a step"}.get(keys[-1], f"`{keys[-1]}`")


def _readable(what: str) -> str:
    if DURATION_PATTERN in what.replace("\\\\", "\\"):
        return "this is not a duration"
    return what


def _hint(what: str, node: Node) -> str | None:
    if DURATION_PATTERN in what.replace("\\\\", "\\") or (what.startswith("Expected `str`") and _is_number(node)):
        return "write a number and a unit: 500ms, 30s, 5m, 2h or 1d"
    if what.startswith("Invalid enum value"):
        return _choices(node)
    if what.startswith("a step has exactly one") and isinstance(node.value, dict):
        empty = [key for key, value in node.value.items() if value.value is None]
        return f"write `{empty[0]}: {{}}`: nothing after the colon means nothing is there" if empty else None
    return None


def _is_number(node: Node) -> bool:
    return isinstance(node.value, int | float)


def _choices(node: Node) -> str | None:
    """The values an enum field takes, nearest first."""
    key = re.split(r"[.\]]", node.field)[-1]
    choices = {
        "role": ("guardrail", "goal", "signal"),
        "direction": ("higher", "lower"),
        "mode": ("noHarm", "nonInferior"),
        "onNoData": ("hold", "rollback"),
        "expect": ("match", "no_match"),
    }.get(key)
    return None if choices is None else nearest(str(node.value), choices)
