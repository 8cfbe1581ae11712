"""The prompts that most features have, texts with `{{ name }}` in them and strings to put there, without an engine.

Purely a matter of speed: whatever is not plain, or goes wrong, is left to the template engine,
which gives the same text or says what is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

from trimtab.artifacts.template_lexer import tokenize

if TYPE_CHECKING:
    from trimtab.artifacts.model import PromptContent

__all__ = ["PlainPrompt", "SharedPrompt", "plain_prompt"]

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ANNOTATIONS: Final = frozenset({"title", "description", "default", "examples", "$comment"})
_UNDERSTOOD: Final = _ANNOTATIONS | {"type", "properties", "required", "additionalProperties", "$schema"}


_Part = tuple[str, str, Callable[[Mapping[str, Any]], Any] | None]
"""Role, `%s` format, and what takes its variables out of a mapping; `None` where the text itself is meant."""
_FEW: Final = 256
_SHORT: Final = 4096
"""So many sets of values are few; texts of more characters in all are not kept."""


class SharedPrompt:
    """One set of values, and the messages with them. Many calls share it, so neither is ever changed or given away."""

    __slots__ = ("messages", "variables")

    def __init__(self, variables: dict[str, Any], messages: list[dict[str, str]]) -> None:
        self.variables = variables
        self.messages = messages

    def copied(self) -> list[dict[str, str]]:
        """Return messages that are the caller's own."""
        messages: list[dict[str, str]] = []
        for message in self.messages:
            messages.append(message.copy())  # noqa: PERF401 - a comprehension would be one call more
        return messages


class PlainPrompt:
    """A prompt that string formatting can fill in. Safe between threads.

    Many prompts meet the same few sets of values (a shop's name, a tone), so texts are kept by the values in them;
    once there were too many of them to be few, for the release's lifetime none is kept any more.
    """

    __slots__ = ("_count", "_declared", "_keeps", "_misses", "_parts", "_take", "_unused", "kept")

    def __init__(
        self, parts: Sequence[_Part], used: set[str], required: set[str], declared: frozenset[str] | None
    ) -> None:
        """Of variables, `used` are in the texts, `required` must be there too, and only `declared` may, if any are."""
        names = sorted(used | required)
        self._parts = tuple(parts)
        self._declared = declared
        self._count = len(names)
        self._unused = (required - used) or None
        self._take: Callable[[Mapping[str, Any]], Any] = itemgetter(*names) if names else _nothing
        self.kept: dict[Any, SharedPrompt] = {}
        """By the values in them."""
        self._keeps = True
        self._misses = 0

    def shared(self, variables: dict[Any, Any]) -> SharedPrompt | None:
        """Return what is kept for these values; `None` where nothing is."""
        if len(variables) == self._count and self._keeps:
            try:
                # Whatever equals the texts that are kept is text, so types need not be looked at again.
                return self.kept[self._take(variables)]
            except (KeyError, TypeError):  # a variable or its value is another one, or can be no key
                pass
        return None

    def render(self, variables: Mapping[str, Any]) -> list[dict[str, str]] | None:
        """Return the messages; `None` where the template engine has to look at it."""
        if type(variables) is not dict:
            variables = dict(variables)  # a mapping may make up what it lacks
        shared = self.shared(variables)
        return self.fill(variables) if shared is None else shared.copied()

    def fill(self, variables: dict[Any, Any]) -> list[dict[str, str]] | None:
        """Do what `render` does for values that are not kept yet."""
        if not self._understands(variables):
            return None
        messages: list[dict[str, str]] = []
        try:
            for role, text, values in self._parts:
                messages.append({"role": role, "content": text if values is None else text % values(variables)})
        except KeyError:  # one is missing
            return None
        if self._keeps and len(variables) == self._count:
            self._keep(variables, messages)
        return messages

    def _understands(self, variables: dict[Any, Any]) -> bool:
        declared = self._declared
        for name, value in variables.items():
            if type(value) is not str or not (value.isascii() or _encodes(value)):
                return False
            if name not in declared if declared is not None else type(name) is not str:
                return False
        return self._unused is None or self._unused <= variables.keys()

    def _keep(self, variables: dict[Any, Any], messages: list[dict[str, str]]) -> None:
        self._misses += 1
        if self._misses > _FEW:
            self._keeps = False
            self.kept = {}
        elif sum(len(message["content"]) for message in messages) <= _SHORT:
            kept = SharedPrompt(variables.copy(), [message.copy() for message in messages])
            self.kept[self._take(variables)] = kept


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
    parts: list[_Part] = []
    used: set[str] = set()
    for message in prompt.messages:
        plain = _plain_text(message.content, undeclared)
        if plain is None:
            return None
        text, names = plain
        parts.append((message.role, text, itemgetter(*names) if names else None))
        used.update(names)
    required = set(schema.get("required", ()))
    return PlainPrompt(parts, used, required, None if closed else frozenset(properties))


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


def _nothing(variables: Mapping[str, Any]) -> None:
    """Stand in for the `itemgetter` of no names, which there is not."""


def _encodes(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
