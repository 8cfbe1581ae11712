"""One item of a dataset: what a release is asked, and what is known of the right answer."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from trimtab.core.canonical import canonical_json

__all__ = ["Item", "item_key"]

_KEY_DIGITS = 16


class Item(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """One item. What a release is asked are `variables` and `messages`; everything else is about them."""

    id: str
    """Names the item within its dataset."""
    variables: dict[str, Any] = {}
    """Of the release's prompt."""
    messages: list[dict[str, Any]] = []
    """That follow the release's own, in the shape of OpenAI's chat completions."""
    expected: Any = None
    """The right answer, text or any JSON value; `None` where nobody said."""
    reference: str = ""
    """An answer that was given once: of a golden set from traffic, what the model said then."""
    group: str = ""
    """Items of one group err together (questions about one document, one user's); empty where each stands alone."""
    slices: dict[str, str] = {}
    """Labels to tell results apart by, such as a language."""
    at_ms: int = 0
    """When it happened, milliseconds since the Unix epoch; 0 where nobody knows."""
    source: str = ""
    """Where it comes from: `file:line`, or the id of a generation."""
    checks: list[dict[str, Any]] = []
    """Scorers of this item alone, as a suite writes them."""

    @property
    def key(self) -> str:
        """What the release is asked, as digits: equal for equal questions, whatever is known of their answers."""
        return item_key(self.variables, self.messages)

    @property
    def question(self) -> str:
        """What was asked, as text: the last user message, else the variables."""
        for message in reversed(self.messages):
            if message.get("role") == "user":
                return text_of(message.get("content"))
        return "\n".join(text_of(value) for value in self.variables.values())


def item_key(variables: dict[str, Any], messages: list[dict[str, Any]]) -> str:
    """Return the digits that name a question, from SHA-256 over its canonical JSON."""
    asked = canonical_json({"messages": messages, "variables": variables})
    return hashlib.sha256(asked).hexdigest()[:_KEY_DIGITS]


def text_of(content: Any) -> str:  # noqa: ANN401 - any JSON value
    """Return the text of a message's content, or a value as text."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) if isinstance(part, dict) else str(part) for part in content)
    return "" if content is None else msgspec.json.encode(content).decode()
