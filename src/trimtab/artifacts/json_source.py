"""Reads JSON into nodes that know their line, as strictly as RFC 8259: no duplicate keys, no NaN.

YAML's reader would take most JSON, but not the surrogate pairs that JSON writers escape emoji to.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from trimtab.artifacts.document import MAX_DEPTH, MAX_INTEGER, Node, has_surrogates
from trimtab.core.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["parse_json"]

_SPACE = re.compile(r"[ \t\n\r]*")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_WORDS = {"true": True, "false": False, "null": None}
_MAX_DIGITS = 20
_DECODER = json.JSONDecoder()


def parse_json(text: str, path: str, *, first_line: int = 1) -> Node:
    """Return the one value of a JSON text, which begins on `first_line` of its file.

    Raises `SourceError` with the line: `malformed_json`, `duplicate_key`, `too_deep`, `number_out_of_range`.
    """
    return _Reader(text, path, first_line).document()


class _Reader:
    """A recursive descent whose position gives the line."""

    def __init__(self, text: str, path: str, first_line: int) -> None:
        self._text = text
        self._path = path
        self._at = 0
        self._counted = (0, first_line)

    def document(self) -> Node:
        node = self._value("", 0)
        self._skip()
        if self._at < len(self._text):
            raise self._error("malformed_json", "something follows the document")
        return node

    def _line(self) -> int:
        position, line = self._counted
        line += self._text.count("\n", position, self._at)
        self._counted = (self._at, line)
        return line

    def _error(self, code: str, message: str) -> SourceError:
        return SourceError(code, message, path=self._path, line=self._line())

    def _skip(self) -> str:
        """Move to the next character that is not whitespace and return it, or an empty string at the end."""
        space = _SPACE.match(self._text, self._at)
        self._at = self._at if space is None else space.end()
        return self._text[self._at : self._at + 1]

    def _value(self, field: str, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise self._error("too_deep", f"values are nested over {MAX_DEPTH} deep")
        character = self._skip()
        line = self._line()
        match character:
            case "{":
                return Node(self._object(field, depth), self._path, line, field)
            case "[":
                items = [self._value(f"{field}[{index}]", depth + 1) for index in self._elements("]")]
                return Node(items, self._path, line, field)
            case '"':
                return Node(self._string(), self._path, line, field)
            case _:
                return Node(self._scalar(), self._path, line, field)

    def _elements(self, closing: str) -> Iterator[int]:
        """Yield the index of each element, the position being at its begin; moves past the closing bracket."""
        self._at += 1
        index = 0
        while self._skip() != closing or index:
            yield index
            index += 1
            separator = self._skip()
            if separator not in {",", closing}:
                raise self._error("malformed_json", f"expected `,` or `{closing}`")
            if separator == closing:
                break
            self._at += 1
        self._at += 1

    def _object(self, field: str, depth: int) -> dict[str, Node]:
        mapping: dict[str, Node] = {}
        for _ in self._elements("}"):
            if self._skip() != '"':
                raise self._error("malformed_json", "expected a key in double quotes")
            line = self._line()
            key = self._string()
            if key in mapping:
                raise self._error("duplicate_key", f"`{key}` is given twice, first on line {mapping[key].line}")
            if self._skip() != ":":
                raise self._error("malformed_json", f"expected `:` after `{key}`")
            self._at += 1
            place = f"{field}.{key}" if field else key
            mapping[key] = Node(self._value(place, depth + 1).value, self._path, line, place)
        return mapping

    def _string(self) -> str:
        value: str
        try:
            value, end = _DECODER.raw_decode(self._text, self._at)
        except json.JSONDecodeError as error:
            self._at = error.pos
            raise self._error("malformed_json", f"this is not JSON: {error.msg}") from None
        if has_surrogates(value):
            raise self._error("malformed_json", "half of a surrogate pair is not a character")
        self._at = end
        return value

    def _scalar(self) -> float | bool | None:
        for word, value in _WORDS.items():
            if self._text.startswith(word, self._at):
                self._at += len(word)
                return value
        number = _NUMBER.match(self._text, self._at)
        if number is None:
            raise self._error("malformed_json", "expected a value")
        self._at = number.end()
        if number[1] or number[2]:
            real = float(number[0])
            if real in {float("inf"), float("-inf")}:
                raise self._error("number_out_of_range", f"`{number[0]}` is too large for a JSON number")
            return real
        integer = int(number[0]) if len(number[0]) <= _MAX_DIGITS else MAX_INTEGER + 1
        if abs(integer) > MAX_INTEGER:
            raise self._error("number_out_of_range", "an integer must be within ±2^53")
        return integer
