"""Reading `rollout.yaml`: every complaint names the line and, for a misspelt key, the nearest right one."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import msgspec

from trimtab.artifacts.document import Node, nearest
from trimtab.artifacts.yaml_source import parse_yaml
from trimtab.core.errors import SourceError
from trimtab.rollout.foreign_keys import MANIFEST_HINT, foreign_hint
from trimtab.rollout.plan_check import plan_problems, plan_warnings
from trimtab.rollout.plan_complaint import node_at, translate
from trimtab.rollout.spec import RolloutPlan

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
    manifest = _manifest(root)
    if manifest is not None:
        return PlanReading(plan=None, errors=[manifest], warnings=[])
    errors = sorted(_complaints(root, RolloutPlan, ()), key=lambda error: error.line or 0)
    if errors:
        return PlanReading(plan=None, errors=errors, warnings=[])
    plan = msgspec.convert(root.plain(), RolloutPlan)
    errors = [_located(problem, root, "invalid_plan") for problem in plan_problems(plan)]
    warnings = [_located(problem, root, "doubtful_plan") for problem in plan_warnings(plan)]
    return PlanReading(plan=None if errors else plan, errors=errors, warnings=warnings)


def _manifest(root: Node) -> SourceError | None:
    """Return the one thing to say of a Kubernetes object: each of its keys is wrong, and telling all helps nobody."""
    if not isinstance(root.value, dict) or not {"apiVersion", "kind"} & root.value.keys():
        return None
    kind = root.value.get("kind")
    named = f" (`kind: {kind.value}`)" if kind is not None and isinstance(kind.value, str) else ""
    return root.error("foreign_manifest", f"this is a Kubernetes object{named}, not a plan", hint=MANIFEST_HINT)


def _decode(text: bytes, path: str) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError as error:
        line = text[: error.start].count(b"\n") + 1
        raise SourceError("not_utf8", f"byte {error.start} is not UTF-8", path=path, line=line) from error


def _located(problem: PlanProblem, root: Node, code: str) -> SourceError:
    node = node_at(root, problem.path)
    subject = f"{node.name}: " if node.field else ""
    return node.error(code, subject + problem.message, hint=problem.hint)


def _complaints(node: Node, kind: type[msgspec.Struct], keys: tuple[str, ...]) -> Iterator[SourceError]:
    """Yield what is wrong in the mapping that should be a `kind`: its keys, their values, and the whole."""
    if not isinstance(node.value, dict):
        yield _mistyped(node, kind)
        return
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    known = {key: child for key, child in node.value.items() if key in fields}
    unknown = [_unknown(child, key, list(fields), keys) for key, child in node.value.items() if key not in fields]
    if not keys:
        blocks = [child.value for key, child in node.value.items() if key not in fields]
        unknown += [wrong for block in blocks for wrong in _foreign_block(block, list(fields))]
    yield from unknown
    found = [
        wrong for key, child in known.items() for wrong in _value_complaints(child, fields[key].type, (*keys, key))
    ]
    for name, field in fields.items():
        told = any(f"`{name}" in (wrong.hint or "") for wrong in unknown)
        if field.required and name not in known and not told:
            found.append(node.error("missing_field", f"{_named(keys)} needs `{name}`"))
    yield from found
    if not found and (known or not unknown):  # else what is missing would be told twice
        yield from _mistakes(dataclasses.replace(node, value=known), kind)


def _foreign_block(block: object, known: Sequence[str]) -> Iterator[SourceError]:
    """Yield what to write instead of each key in a block as another tool has it, such as Flagger's `analysis`."""
    for key, child in block.items() if isinstance(block, dict) else ():
        if foreign_hint(key, ()) is not None:
            yield _unknown(child, key, known, ())


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
        return translate(str(error), node, kind)
    return node.wrong_type("a mapping")


def _mistakes(node: Node, kind: Any) -> Iterator[SourceError]:  # noqa: ANN401 - any type
    try:
        msgspec.convert(node.plain(), kind)
    except msgspec.ValidationError as error:
        yield translate(str(error), node, kind)


def _unknown(node: Node, key: str, known: Sequence[str], keys: Sequence[str]) -> SourceError:
    hint = foreign_hint(key, keys) or nearest(key, known)
    return node.error("unknown_field", f"`{key}` is not a field of {_named(keys)}", hint=hint)


def _named(keys: Sequence[str]) -> str:
    if not keys:
        return "a rollout plan"
    named = {"metrics": "a metric", "steps": "a step", "notify": "a target of `notify`"}
    return named.get(keys[-1], f"`{keys[-1]}`")
