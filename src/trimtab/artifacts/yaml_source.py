"""Reads YAML into nodes that know their line. Safe by construction: no tag builds an object, and no alias explodes.

Scalars follow YAML 1.2's core schema, as JSON and GitHub's own reader do: `no` and `2024-01-01` are strings.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

import yaml

from trimtab.artifacts.document import MAX_DEPTH, MAX_INTEGER, Node, has_surrogates
from trimtab.core.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["MAX_NODES", "is_plain_text", "parse_yaml"]

MAX_NODES = 100_000
"""Of one document, aliases counted as often as they are used."""

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml is ten times faster where it is built in
_TAG = "tag:yaml.org,2002:"
_CORE_TAGS = frozenset({"null", "bool", "int", "float", "str", "seq", "map"})
_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLEAN = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INTEGER = re.compile(r"[-+]?[0-9]+")
_BASED = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_JSON = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_MAX_DIGITS = 20
_TOO_DEEP = f"values are nested over {MAX_DEPTH} deep"
_LIBYAML_TOO_DEEP = "exceeded maximum nesting depth"
"""Newer builds of libyaml have a limit of their own, above ours, and meet it while they look ahead."""


def parse_yaml(text: str, path: str, *, first_line: int = 1) -> Node:
    """Return the one document of a YAML text; an empty text is an empty mapping.

    `first_line` is the line of the file on which the text begins. Raises `SourceError` with the line:
    `malformed_yaml`, `duplicate_key`, `unsupported_yaml`, `too_deep`, `too_large`, `number_out_of_range`.
    """
    if has_surrogates(text):
        raise SourceError("malformed_yaml", "half of a surrogate pair is not a character", path=path)
    try:
        return _Reader(text, path, first_line - 1).document()
    except yaml.YAMLError as error:
        raise _malformed(error, text, path, first_line - 1) from None


def is_plain_text(text: str) -> bool:
    """Whether an unquoted scalar is read as this text, and not as null, a boolean or a number."""
    special = (_INTEGER, _BASED, _FLOAT, _NOT_JSON)
    return text not in _NULL and text not in _BOOLEAN and not any(pattern.fullmatch(text) for pattern in special)


def _malformed(error: yaml.YAMLError, text: str, path: str, shift: int) -> SourceError:
    line: int | None = None
    problem = str(error)
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        line = None if mark is None else mark.line + 1 + shift
        problem = ": ".join(part for part in (error.context, error.problem) if part)
        if _LIBYAML_TOO_DEEP in problem:
            return SourceError("too_deep", _TOO_DEEP, path=path, line=line)
    elif isinstance(error, yaml.reader.ReaderError):
        line = text.count("\n", 0, error.position) + 1 + shift
        problem = f"character {error.character!r}: {error.reason}"
    return SourceError("malformed_yaml", f"this is not YAML: {problem}", path=path, line=line)


class _Reader:
    """Builds nodes from parser events."""

    def __init__(self, text: str, path: str, shift: int) -> None:
        self._events: Iterator[Any] = iter(yaml.parse(text, Loader=_LOADER))
        self._path = path
        self._shift = shift
        self._anchors: dict[str, tuple[Node, int]] = {}
        self._count = 0

    def document(self) -> Node:
        event = next(self._events)
        while isinstance(event, yaml.StreamStartEvent | yaml.DocumentStartEvent):
            event = next(self._events)
        if isinstance(event, yaml.StreamEndEvent):
            return Node({}, self._path, 1 + self._shift)
        node = self._node(event, "", 0)
        if node.value is None:
            node = Node({}, self._path, node.line)
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                raise self._error(event, "unsupported_yaml", "a second document begins here", "keep one per file")
        return node

    def _error(self, event: Any, code: str, message: str, hint: str | None = None) -> SourceError:  # noqa: ANN401
        return SourceError(code, message, path=self._path, line=self._line(event), hint=hint)

    def _line(self, event: Any) -> int:  # noqa: ANN401 - events are untyped
        return int(event.start_mark.line) + 1 + self._shift

    def _node(self, event: Any, field: str, depth: int) -> Node:  # noqa: ANN401 - events are untyped
        if depth > MAX_DEPTH:
            raise self._error(event, "too_deep", _TOO_DEEP)
        self._grow(event, 1)
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, field)
        self._check_tag(event)
        before = self._count
        match event:
            case yaml.ScalarEvent():
                node = self._scalar(event, field)
            case yaml.SequenceStartEvent():
                node = Node(self._sequence(field, depth), self._path, self._line(event), field)
            case _:
                node = Node(self._mapping(field, depth), self._path, self._line(event), field)
        if event.anchor is not None:
            self._anchors[event.anchor] = (node, self._count - before)
        return node

    def _grow(self, event: Any, nodes: int) -> None:  # noqa: ANN401 - events are untyped
        self._count += nodes
        if self._count > MAX_NODES:
            raise self._error(event, "too_large", f"the document has over {MAX_NODES} values")

    def _alias(self, event: Any, field: str) -> Node:  # noqa: ANN401 - events are untyped
        target = self._anchors.get(event.anchor)
        if target is None:
            raise self._error(event, "malformed_yaml", f"there is no anchor `&{event.anchor}` before this alias")
        node, size = target
        self._grow(event, size)
        return Node(node.value, self._path, self._line(event), field)

    def _check_tag(self, event: Any) -> None:  # noqa: ANN401 - events are untyped
        tag = event.tag
        if tag is None or tag == "!" or tag.removeprefix(_TAG) in _CORE_TAGS:
            return
        raise self._error(event, "unsupported_yaml", f"the tag `{tag}` is not allowed", "write plain values")

    def _sequence(self, field: str, depth: int) -> list[Node]:
        items: list[Node] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            items.append(self._node(event, f"{field}[{len(items)}]", depth + 1))
        return items

    def _mapping(self, field: str, depth: int) -> dict[str, Node]:
        mapping: dict[str, Node] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent):
                raise self._error(event, "unsupported_yaml", "a key must be plain text")
            key = event.value
            if key == "<<" and not event.style:
                raise self._error(event, "unsupported_yaml", "merge keys (`<<`) are not read", "write the fields out")
            if key in mapping:
                first = mapping[key].line
                raise self._error(event, "duplicate_key", f"`{key}` is given twice, first on line {first}")
            place = f"{field}.{key}" if field else key
            node = self._node(next(self._events), place, depth + 1)
            # A complaint about a field belongs to the line of its key.
            mapping[key] = Node(node.value, self._path, self._line(event), place, node.text_line)
        return mapping

    def _scalar(self, event: Any, field: str) -> Node:  # noqa: ANN401 - events are untyped
        line = self._line(event)
        text: str = event.value
        if has_surrogates(text):
            raise self._error(event, "malformed_yaml", "half of a surrogate pair is not a character")
        typed = event.tag is not None and event.tag not in {f"{_TAG}str", "!"}
        if typed or (not event.style and event.tag is None):
            return Node(self._plain(event, text), self._path, line, field)
        # The text of a literal block begins on the line after its `|`; in quoted and folded text, lines differ.
        return Node(text, self._path, line, field, line + 1 if event.style == "|" else 0)

    def _plain(self, event: Any, text: str) -> str | int | float | bool | None:  # noqa: ANN401 - events are untyped
        if text in _NULL:
            return None
        if text in _BOOLEAN:
            return _BOOLEAN[text]
        if _INTEGER.fullmatch(text):
            return self._integer(event, text, 10)
        if _BASED.fullmatch(text):
            return self._integer(event, text[2:], 8 if text[1] == "o" else 16)
        if _NOT_JSON.fullmatch(text):
            raise self._error(event, "number_out_of_range", f"`{text}` is no JSON number", "quote it to send text")
        if _FLOAT.fullmatch(text):
            value = float(text)
            if not math.isfinite(value):
                raise self._error(event, "number_out_of_range", f"`{text}` is too large for a JSON number")
            return value
        return text

    def _integer(self, event: Any, digits: str, base: int) -> int:  # noqa: ANN401 - events are untyped
        value = int(digits, base) if len(digits) <= _MAX_DIGITS else MAX_INTEGER + 1
        if abs(value) > MAX_INTEGER:
            raise self._error(event, "number_out_of_range", "an integer must be within ±2^53", "quote it to send text")
        return value
