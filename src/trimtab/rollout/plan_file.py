"""Reading `rollout.yaml`: every complaint names the line and, for a misspelt key, the nearest right one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from trimtab.artifacts.document import Node, nearest
from trimtab.artifacts.yaml_source import parse_yaml
from trimtab.core.errors import SourceError
from trimtab.rollout.foreign_keys import foreign_hint
from trimtab.rollout.plan_check import plan_problems, plan_warnings
from trimtab.rollout.spec import RolloutPlan
from trimtab.rollout.steps import DURATION_PATTERN, URL_PATTERN

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from trimtab.rollout.plan_check import PlanProblem

__all__ = ["PlanReading", "parse_plan", "read_plan"]


class PlanReading(msgspec.Struct, frozen=True, kw_only=True):
    """A file, read: the plan in it where nothing is wrong, and everything there is to say about it."""

    plan: RolloutPlan | None
    errors: list[SourceError]
    warnings: list[SourceError]


def parse_plan(text: bytes, *, path: str = "rollout.yaml") -> RolloutPlan:
    """Return the plan in a `rollout.yaml`; raises `SourceError` with file, line and hint for what is wrong first."""
    found = read_plan(text, path=path)
    if found.plan is None:
        raise found.errors[0]
    return found.plan


def read_plan(text: bytes, *, path: str = "rollout.yaml") -> PlanReading:
    """Return the plan and all that is wrong with it, in the order of the file; raises nothing."""
    try:
        root = parse_yaml(_decode(text, path), path)
    except SourceError as error:
        return PlanReading(plan=None, errors=[error], warnings=[])
    errors = sorted(_complaints(root, RolloutPlan, ()), key=lambda error: error.line or 0)
    if errors:
        return PlanReading(plan=None, errors=errors, warnings=[])
    plan = msgspec.convert(root.plain(), RolloutPlan)
    errors = [_located(problem, root, "invalid_plan") for problem in plan_problems(plan)]
    warnings = [_located(problem, root, "doubtful_plan") for problem in plan_warnings(plan)]
    return PlanReading(plan=None if errors else plan, errors=errors, warnings=warnings)


def _decode(text: bytes, path: str) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError as error:
        line = text[: error.start].count(b"\n") + 1
        raise SourceError("not_utf8", f"byte {error.start} is not UTF-8", path=path, line=line) from error


def _located(problem: PlanProblem, root: Node, code: str) -> SourceError:
    node = _at(root, problem.path)
    subject = f"{node.name}: " if node.field else ""
    return node.error(code, subject + problem.message, hint=problem.hint)


def _complaints(node: Node, kind: type[msgspec.Struct], keys: tuple[str, ...]) -> Iterator[SourceError]:
    """Yield what is wrong in the mapping that should be a `kind`: its keys, their values, and the whole."""
    if not isinstance(node.value, dict):
        yield _mistyped(node, kind)
        return
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    sound = True
    for key, child in node.value.items():
        found = list(
            _value_complaints(child, fields[key].type, (*keys, key))
            if key in fields
            else [_unknown(child, key, list(fields), keys)]
        )
        sound = sound and not found
        yield from found
    for name, field in fields.items():
        if field.required and name not in node.value:
            sound = False
            yield node.error("missing_field", f"{_named(keys)} needs `{name}`")
    if sound:
        yield from _mistakes(node, kind)


def _value_complaints(node: Node, kind: Any, keys: tuple[str, ...]) -> Iterator[SourceError]:  # noqa: ANN401 - any type
    struct, is_list = _struct_of(msgspec.inspect.type_info(kind))
    if struct is None or node.value is None:
        yield from _mistakes(node, kind)
    elif not is_list:
        yield from _complaints(node, struct, keys)
    elif not isinstance(node.value, list) or not node.value:
        yield from _mistakes(node, kind)
    else:
        for item in node.value:
            yield from _complaints(item, struct, keys)


def _struct_of(info: msgspec.inspect.Type) -> tuple[type[msgspec.Struct] | None, bool]:
    """Return the struct that a field holds, one or a list of them; `None` for plain values."""
    match info:
        case msgspec.inspect.UnionType(types=types):
            return next((found for one in types if (found := _struct_of(one))[0]), (None, False))
        case msgspec.inspect.ListType(item_type=item):
            return _struct_of(item)[0], True
        case msgspec.inspect.StructType(cls=cls):
            return cls, False
        case _:
            return None, False


def _mistyped(node: Node, kind: type[msgspec.Struct]) -> SourceError:
    try:
        msgspec.convert(node.plain(), kind)
    except msgspec.ValidationError as error:
        return _translate(str(error), node, kind)
    return node.wrong_type("a mapping")


def _mistakes(node: Node, kind: Any) -> Iterator[SourceError]:  # noqa: ANN401 - any type
    try:
        msgspec.convert(node.plain(), kind)
    except msgspec.ValidationError as error:
        yield _translate(str(error), node, kind)


def _unknown(node: Node, key: str, known: Sequence[str], keys: Sequence[str]) -> SourceError:
    hint = foreign_hint(key, keys) or nearest(key, known)
    return node.error("unknown_field", f"`{key}` is not a field of {_named(keys)}", hint=hint)


_PLACE = re.compile(r" - at `\$(?P<path>[^`]*)`$")
_TOKEN = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]")


def _translate(message: str, at: Node, kind: Any) -> SourceError:  # noqa: ANN401 - any type
    """Return msgspec's complaint about a node, or something in it, with the line it is about."""
    place = _PLACE.search(message)
    what = message[: place.start()] if place else message
    path = tuple(int(index) if index else key for key, index in _TOKEN.findall(place["path"] if place else ""))
    node = _at(at, path)
    subject = f"{node.name}: " if node.field else ""
    return node.error("invalid_plan", f"{subject}{_readable(what)}", hint=_hint(what, node, kind))


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
    named = {"metrics": "a metric", "steps": "a step", "notify": "a target of `notify`"}
    return named.get(keys[-1], f"`{keys[-1]}`")


def _readable(what: str) -> str:
    plain = what.replace("\\\\", "\\")
    if DURATION_PATTERN in plain:
        return "this is not a duration"
    return "this is not a URL of http or https" if URL_PATTERN in plain else what


def _hint(what: str, node: Node, kind: Any) -> str | None:  # noqa: ANN401 - any type
    is_number = isinstance(node.value, int | float)
    if DURATION_PATTERN in what.replace("\\\\", "\\") or (what.startswith("Expected `str`") and is_number):
        seconds = f"; `{node.value}s` are {node.value} seconds" if is_number else ""
        return f"write a number and a unit: 500ms, 30s, 5m, 2h or 1d{seconds}"
    if what.startswith(("Expected `float`", "Expected `int`")) and isinstance(node.value, str):
        return "write the number alone, without quotes or `%`"
    if what.startswith("Invalid enum value"):
        return nearest(str(node.value), _choices(msgspec.inspect.type_info(kind)))
    if what.startswith("a step has exactly one") and isinstance(node.value, dict):
        empty = [key for key, value in node.value.items() if value.value is None]
        return f"write `{empty[0]}: {{}}`: nothing after the colon means nothing is there" if empty else None
    return None


def _choices(info: msgspec.inspect.Type) -> list[str]:
    """Return the words that a field, or each item of it, may be."""
    match info:
        case msgspec.inspect.LiteralType(values=values):
            return [str(value) for value in values]
        case msgspec.inspect.ListType(item_type=item):
            return _choices(item)
        case msgspec.inspect.UnionType(types=types):
            return [word for one in types for word in _choices(one)]
        case _:
            return []
