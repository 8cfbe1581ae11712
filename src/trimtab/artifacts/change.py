"""One difference between two versions, as a value: for machines typed, for people one line."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from trimtab.core.canonical import canonical_json

__all__ = ["Change", "ChangeKind", "same", "show"]

ChangeKind = Literal["added", "removed", "changed", "moved"]
_LONGEST = 60


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One difference between two versions of an artifact."""

    kind: ChangeKind
    path: str
    """What differs, e.g. `prompt.messages[0].content` or `model.parameters.temperature`."""
    before: Any = None
    after: Any = None
    summary: str
    """One line for people, without the path."""
    words_added: list[str] = []
    """For text: the runs of words that are new, in order."""
    words_removed: list[str] = []
    behaviour: bool = True
    """False where nothing that is sent can mean anything else: whitespace or template comments only."""


def show(value: Any) -> str:  # noqa: ANN401 - any JSON value
    """Return a value for a summary, shortened."""
    text = f'"{value}"' if isinstance(value, str) else msgspec.json.encode(value).decode()
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def same(before: Any, after: Any) -> bool:  # noqa: ANN401 - any JSON value
    """Whether two JSON values are equal to a digest: key order does not count, and `true` is not 1."""
    return canonical_json(before) == canonical_json(after)
