"""What msgspec says is wrong with a plan, in words that tell somebody who wrote YAML what to write instead."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from trimtab.analysis.model import BUILTIN_METRICS
from trimtab.artifacts.document import nearest
from trimtab.rollout.foreign_keys import foreign_metric
from trimtab.rollout.steps import DURATION_PATTERN, ENVIRONMENT_NAME_PATTERN, URL_PATTERN

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trimtab.artifacts.document import Node
    from trimtab.core.errors import SourceError

__all__ = ["node_at", "translate"]

_PLACE = re.compile(r" - at `\$(?P<path>[^`]*)`$")
_TOKEN = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]")


def translate(message: str, at: Node, kind: Any) -> SourceError:  # noqa: ANN401 - any type
    """Return msgspec's complaint about a node, or something in it, with the line it is about."""
    place = _PLACE.search(message)
    what = message[: place.start()] if place else message
    path = tuple(int(index) if index else key for key, index in _TOKEN.findall(place["path"] if place else ""))
    node = node_at(at, path)
    subject = f"{node.name}: " if node.field else ""
    return node.error("invalid_plan", f"{subject}{_readable(what, node)}", hint=_hint(what, node, kind))


def node_at(node: Node, path: Sequence[str | int]) -> Node:
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


_PLAIN_TYPES = {
    "str": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "object": "a mapping",
    "array": "a list",
    "null": "nothing",
}
_EXPECTED = re.compile(
    r"Expected `(?P<wanted>\w+)(?: \| null)?`(?:, got `(?P<got>\w+)`| (?P<bound>(?:of length )?[<>].*))"
)
_NOT_A_DURATION = "this is not a duration"
_PATTERNS = {
    DURATION_PATTERN: _NOT_A_DURATION,
    URL_PATTERN: "this is not a URL of http or https",
    ENVIRONMENT_NAME_PATTERN: "this is not the name of an environment variable",
}


def _readable(what: str, node: Node) -> str:
    plain = what.replace("\\\\", "\\")
    for pattern, words in _PATTERNS.items():
        if pattern in plain:
            return words
    types = _EXPECTED.fullmatch(what)
    if types is None:
        return plain.replace("Expected `str` matching regex", "must match")
    if types["wanted"] == "str" and _is_number(node.value):
        return _NOT_A_DURATION  # nothing else in a plan is text that looks like a number
    wanted = _PLAIN_TYPES.get(types["wanted"], types["wanted"])
    if types["got"] is None:
        return f"must be {wanted} {types['bound']}"
    return f"must be {wanted}, not {_PLAIN_TYPES.get(types['got'], types['got'])}"


_FORMS = {
    "offlineEval": "`offlineEval: {suite: smoke}`",
    "suite": "a name of a-z 0-9 . _ -, such as smoke",
    "dataset": "a version of a dataset such as orders@v3, or its whole digest: sha256:...",
    "shadow": "`shadow: {traffic: 5, duration: 10m}`",
    "setWeight": "`setWeight: 5`",
    "pause": "`pause: {duration: 10m}`",
    "analysis": "`analysis: {maxDuration: 1d}`",
    "gate": '`gate: {url: "https://..."}`',
    "bake": "`bake: {duration: 30m}`",
    "srm": "`srm: {enabled: true}`",
    "rollback": "`rollback: {mode: auto}`",
    "notify": "`notify: [{urlEnv: SLACK_WEBHOOK_URL, format: slack}]`",
    "unit": "a word such as user, session or tenant",
    "steps": "each step behind a dash: `- setWeight: 5`",
    "metrics": "each metric behind a dash: `- {name: error, margin: 0.02}`",
}
"""What is written where another kind of value stands."""


def _hint(what: str, node: Node, kind: Any) -> str | None:  # noqa: ANN401 - any type
    plain = what.replace("\\\\", "\\")
    types = _EXPECTED.fullmatch(what)
    if DURATION_PATTERN in plain or (types is not None and types["wanted"] == "str" and _is_number(node.value)):
        seconds = f"; `{node.value}s` are {node.value} seconds" if _is_number(node.value) else ""
        return f"write a number and a unit: 500ms, 30s, 5m, 2h or 1d{seconds}"
    if ENVIRONMENT_NAME_PATTERN in plain:
        return "write the name alone, such as SLACK_WEBHOOK_URL: what it stands for is set where the server runs"
    if types is not None:
        return _typed_hint(types, node)
    if what.startswith("Invalid enum value"):
        return nearest(str(node.value), _choices(msgspec.inspect.type_info(kind)))
    form = _FORMS.get(re.split(r"[.\[]", node.field)[-1])
    return f"write {form}" if form and "matching regex" in what else _whole_hint(what, node)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _typed_hint(types: re.Match[str], node: Node) -> str | None:
    if types["wanted"] in {"int", "float"} and isinstance(node.value, str):
        return "write the number alone, without quotes or `%`"
    form = _FORMS.get(re.split(r"[.\[]", node.field)[-1])
    return f"write {form}" if form and types["got"] else None


def _whole_hint(what: str, node: Node) -> str | None:
    """Return a hint on a mapping whose keys are each right."""
    keys = node.value if isinstance(node.value, dict) else {}
    if "is not a built-in metric" in what and "name" in keys:
        return _metric_hint(str(keys["name"].value))
    empty = [key for key, child in keys.items() if child.value is None]
    if what.startswith("a step has exactly one") and empty:
        return f"write `{empty[0]}: {{}}`: nothing after the colon means nothing is there"
    if what.startswith("a step has exactly one") and len(keys) > 1:
        return "give each a dash of its own"
    return None


def _metric_hint(name: str) -> str:
    same = foreign_metric(name)
    if same is not None:
        return f"`name: {same}` measures that"
    near = nearest(name, BUILTIN_METRICS)
    return near if near.startswith("did") else "name a built-in metric, or give it a `scorer`"


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
