"""A YAML or JSON file, read: values that know their file, line and field, so that every complaint names its place."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trimtab.core.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["MAX_DEPTH", "MAX_INTEGER", "Node", "has_surrogates"]

MAX_DEPTH = 64
"""Of lists and mappings inside each other."""
MAX_INTEGER = 2**53
"""Beyond it JSON numbers are not exact, so canonical JSON refuses them."""

_TYPE_NAMES: list[tuple[type, str]] = [
    (bool, "a boolean"),
    (str, "a string"),
    (int, "an integer"),
    (float, "a number"),
    (list, "a list"),
    (dict, "a mapping"),
]


@dataclass(frozen=True, slots=True)
class Node:
    """One value of a document. A mapping's value is `dict[str, Node]`, a list's `list[Node]`."""

    value: str | int | float | bool | list[Node] | dict[str, Node] | None
    path: str
    line: int
    """Of its first character in the file, from 1."""
    field: str = ""
    """Its place in the document, e.g. `model.parameters.temperature`."""
    text_line: int = 0
    """For a block of text: the file's line that holds the text's first line. 0 where lines do not correspond."""

    def error(self, code: str, message: str, *, hint: str | None = None) -> SourceError:
        """Return the error that names this place."""
        return SourceError(code, message, path=self.path, line=self.line, hint=hint)

    @property
    def name(self) -> str:
        """The field, for messages."""
        return f"`{self.field}`" if self.field else "the document"

    def wrong_type(self, expected: str) -> SourceError:
        """Return the error for a value of another type than `expected`."""
        found = next((name for kind, name in _TYPE_NAMES if isinstance(self.value, kind)), "nothing")
        return self.error("wrong_type", f"{self.name} must be {expected}, not {found}")

    def text(self) -> str:
        """The value as a string; raises `SourceError` (`wrong_type`)."""
        if not isinstance(self.value, str):
            raise self.wrong_type("a string")
        return self.value

    def boolean(self) -> bool:
        """The value as a boolean; raises `SourceError` (`wrong_type`)."""
        if not isinstance(self.value, bool):
            raise self.wrong_type("true or false")
        return self.value

    def items(self) -> list[Node]:
        """The value as a list; raises `SourceError` (`wrong_type`)."""
        if not isinstance(self.value, list):
            raise self.wrong_type("a list")
        return self.value

    def mapping(self) -> dict[str, Node]:
        """The value as a mapping; raises `SourceError` (`wrong_type`)."""
        if not isinstance(self.value, dict):
            raise self.wrong_type("a mapping")
        return self.value

    def fields(self, known: Iterable[str], *, required: Iterable[str] = ()) -> dict[str, Node]:
        """The value as a mapping of known fields, those left empty taken out.

        Raises `SourceError`: `wrong_type`, `unknown_field` with the nearest known one, `missing_field`.
        """
        mapping = self.mapping()
        known = list(known)
        for key, node in mapping.items():
            if key not in known:
                raise node.error("unknown_field", f"{node.name} is not a known field", hint=nearest(key, known))
        given = {key: node for key, node in mapping.items() if node.value is not None}
        for key in required:
            if key not in given:
                place = f"{self.field}.{key}" if self.field else key
                raise self.error("missing_field", f"`{place}` is missing")
        return given

    def plain(self) -> Any:  # noqa: ANN401 - any JSON value
        """The value as plain JSON."""
        match self.value:
            case dict() as mapping:
                return {key: node.plain() for key, node in mapping.items()}
            case list() as items:
                return [node.plain() for node in items]
            case scalar:
                return scalar

    def line_of_text(self, line: int | None) -> int:
        """The file's line of a line of this text (from 1)."""
        return self.text_line + line - 1 if self.text_line and line else self.line


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint: the nearest known name, or all of them."""
    known = sorted(known)
    lowered = {candidate.lower(): candidate for candidate in known}
    close = difflib.get_close_matches(name.lower(), list(lowered), n=1)
    return f"did you mean `{lowered[close[0]]}`?" if close else f"known: {', '.join(known) or 'none'}"


def has_surrogates(text: str) -> bool:
    """Whether a string has half of a surrogate pair, which no UTF-8 can carry."""
    return not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text)
