"""The prompts that most features have, texts with `{{ name }}` in them and strings to put there, without an engine.

Purely a matter of speed (0.3 µs instead of 2): whatever is not plain, or goes wrong, is left to the template engine,
which gives the same text or says what is wrong.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from trimtab.artifacts.template_lexer import tokenize

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from trimtab.artifacts.model import PromptContent

__all__ = ["PlainPrompt", "plain_prompt"]

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ANNOTATIONS = frozenset({"title", "description", "default", "examples", "$comment"})
_UNDERSTOOD = _ANNOTATIONS | {"type", "properties", "required", "additionalProperties", "$schema"}


class PlainPrompt(msgspec.Struct, frozen=True):
    """A prompt that string formatting can fill in."""

    messages: tuple[tuple[str, str, tuple[str, ...]], ...]
    """Role, `%s` format, and the variables that go into it; where none do, the text itself."""
    required: frozenset[str]
    declared: frozenset[str] | None
    """The only variables there may be; `None` where others are ignored."""

    def render(self, variables: Mapping[str, Any]) -> list[dict[str, str]] | None:
        """Return the messages; `None` where the template engine has to look at it."""
        if not variables:
            return None if self.required else [{"role": role, "content": text} for role, text, _ in self.messages]
        names = variables.keys()
        if not self.required <= names or (self.declared is not None and not names <= self.declared):
            return None
        for value in variables.values():
            if type(value) is not str or not (value.isascii() or _encodes(value)):
                return None
        return [
            {"role": role, "content": text % tuple([variables[name] for name in used]) if used else text}
            for role, text, used in self.messages
        ]


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
    messages = []
    used: set[str] = set()
    for message in prompt.messages:
        plain = _plain_text(message.content, undeclared)
        if plain is None:
            return None
        messages.append((message.role, *plain))
        used.update(plain[1])
    return PlainPrompt(
        tuple(messages),
        frozenset(schema.get("required", ())) | used,
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
