"""The prompts that most features have, texts with `{{ name }}` in them and strings to put there, without an engine.

Purely a matter of speed (0.3 µs instead of 2): whatever is not plain, or goes wrong, is left to the template engine,
which gives the same text or says what is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import msgspec

from trimtab.artifacts.template_lexer import tokenize

if TYPE_CHECKING:
    from trimtab.artifacts.model import PromptContent

__all__ = ["PlainPrompt", "plain_prompt"]

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ANNOTATIONS = frozenset({"title", "description", "default", "examples", "$comment"})
_UNDERSTOOD = _ANNOTATIONS | {"type", "properties", "required", "additionalProperties", "$schema"}


class PlainPrompt(msgspec.Struct, frozen=True):
    """A prompt that string formatting can fill in."""

    messages: tuple[tuple[str, str, Callable[[Mapping[str, Any]], Any] | None], ...]
    """Role, `%s` format, and what takes its variables out of a mapping; `None` where the text itself is meant."""
    required: tuple[str, ...]
    declared: frozenset[str] | None
    """The only variables there may be; `None` where others are ignored."""

    def render(self, variables: Mapping[str, Any]) -> list[dict[str, str]] | None:
        """Return the messages; `None` where the template engine has to look at it."""
        declared = self.declared
        for name, value in variables.items():
            if type(value) is not str or not (value.isascii() or _encodes(value)):
                return None
            if declared is not None and name not in declared:
                return None
        for name in self.required:
            if name not in variables:
                return None
        messages = []
        for role, text, values in self.messages:  # no comprehension: it would be a frame of its own
            messages.append({"role": role, "content": text if values is None else text % values(variables)})
        return messages


def plain_prompt(prompt: PromptContent, undeclared: Callable[[str], set[str]]) -> PlainPrompt | None:
    """Return the plain form of a prompt, `None` where a template or the schema of its variables says more than that.

    `undeclared` returns the variables that a template takes.
    """
    schema = prompt.variables
    properties = schema.get("properties", {})
    closed = schema.get("additionalProperties", True)
    if not schema.keys() <= _UNDERSTOOD or schema.get("type", "object") != "object" or not isinstance(closed, bool):
        return None
    for described in properties.values():
        if not isinstance(described, dict) or not described.keys() <= _ANNOTATIONS | {"type"}:
            return None
        if described.get("type", "string") != "string":
            return None
    messages: list[tuple[str, str, Callable[[Mapping[str, Any]], Any] | None]] = []
    used: set[str] = set()
    for message in prompt.messages:
        plain = _plain_text(message.content, undeclared)
        if plain is None:
            return None
        text, names = plain
        messages.append((message.role, text, itemgetter(*names) if names else None))
        used.update(names)
    return PlainPrompt(
        tuple(messages),
        tuple(sorted({*schema.get("required", ()), *used})),
        None if closed else frozenset(properties),
    )


def _plain_text(text: str, undeclared: Callable[[str], set[str]]) -> tuple[str, tuple[str, ...]] | None:
    """Return a `%s` format and the names that go into it."""
    taken = undeclared(text)
    pieces: list[str | None] = []  # `None`: here goes a variable
    names: list[str] = []
    for token in tokenize(text):
        if token.kind == "data":
            pieces.append(token.text)
        elif token.kind == "expression" and _NAME.fullmatch(token.body) and token.body in taken:
            if token.trims_before or token.trims_after or "+" in token.text:
                return None
            pieces.append(None)
            names.append(token.body)
        else:
            return None
    if not names:
        return text, ()
    return "".join("%s" if piece is None else piece.replace("%", "%%") for piece in pieces), tuple(names)


def _encodes(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
