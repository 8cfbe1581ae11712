"""Inlining: a prompt and its partials become one fixed text, which renders exactly as the includes would have."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING

import msgspec

from trimtab.artifacts.template import PromptError, check_text
from trimtab.artifacts.template_lexer import Token, join_templates, tokenize

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trimtab.artifacts.model import PromptContent

__all__ = ["MAX_INLINED_CHARACTERS", "included_partials", "inline_partials"]

MAX_INLINED_CHARACTERS = 1_048_576
"""Of one message after inlining: partials that include each other twice grow exponentially."""
MAX_DEPTH = 50
"""Of partials inside partials."""

_STATIC = re.compile(
    r"include\s+(?P<quote>['\"])(?P<name>(?:(?!(?P=quote)).)*)(?P=quote)(?P<lenient>\s+ignore\s+missing)?"
)


def inline_partials(prompt: PromptContent, partials: Mapping[str, str]) -> PromptContent:
    """Return the prompt with every `{% include "name" %}` replaced by the partial's text, recursively.

    The result renders as the includes would have: whitespace control does not cross the seam, and one newline
    at a partial's end is dropped, as Jinja does on loading.
    Raises `PromptError`: `missing_partial`, `cyclic_partial`, `dynamic_include`, `partials_too_deep`,
    `prompt_too_large`, and as `check_templates` for the texts themselves.
    """
    inliner = _Inliner(partials)
    messages = [
        msgspec.structs.replace(message, content=inliner.expand(message.content, _Place(message_index=index)))
        for index, message in enumerate(prompt.messages)
    ]
    return msgspec.structs.replace(prompt, messages=messages)


def included_partials(prompt: PromptContent, partials: Mapping[str, str]) -> list[str]:
    """Return the names of the partials the prompt includes, directly or not, sorted; raises as `inline_partials`."""
    inliner = _Inliner(partials)
    for index, message in enumerate(prompt.messages):
        inliner.expand(message.content, _Place(message_index=index))
    return sorted(inliner.used)


class _Place(msgspec.Struct, frozen=True):
    """Where an include stands: a message, or the end of a chain of partials."""

    message_index: int
    chain: tuple[str, ...] = ()

    def error(self, code: str, message: str, *, line: int, hint: str | None = None) -> PromptError:
        partial = self.chain[-1] if self.chain else None
        return PromptError(code, message, message_index=self.message_index, partial=partial, line=line, hint=hint)


class _Inliner:
    """Expands texts; remembers which partials were met."""

    def __init__(self, partials: Mapping[str, str]) -> None:
        self._partials = partials
        self._expanded: dict[str, str] = {}
        self.used: set[str] = set()

    def expand(self, text: str, place: _Place) -> str:
        check_text(text, message_index=place.message_index, partial=place.chain[-1] if place.chain else None)
        tokens = tokenize(text)
        expanded = ""
        seam = False
        for index, token in enumerate(tokens):
            included = _is_include(token)
            piece = self._include(token, place) if included else _own(tokens, index)
            seam = seam or included
            if piece:
                # A brace comes to stand beside a tag only where the whitespace between them was taken away.
                apart = seam or expanded.endswith("{")
                expanded = join_templates(expanded, piece) if apart else expanded + piece
                seam = included
            if len(expanded) > MAX_INLINED_CHARACTERS:
                raise place.error(
                    "prompt_too_large",
                    f"the text is over {MAX_INLINED_CHARACTERS} characters once its partials are inlined",
                    line=token.line,
                    hint="include each partial once",
                )
        return expanded

    def _include(self, token: Token, place: _Place) -> str:
        match = _STATIC.fullmatch(token.body)
        if match is None:
            raise place.error(
                "dynamic_include",
                f"`{token.text}` does not name one partial: a release is one fixed text",
                line=token.line,
                hint="write {% include 'name' %}; to choose at serving time, put includes into {% if %} branches",
            )
        name = match["name"]
        if name in place.chain:
            cycle = " → ".join([*place.chain[place.chain.index(name) :], name])
            raise place.error("cyclic_partial", f"partials include each other: {cycle}", line=token.line)
        if len(place.chain) >= MAX_DEPTH:
            raise place.error("partials_too_deep", f"partials are nested over {MAX_DEPTH} deep", line=token.line)
        text = self._partials.get(name)
        if text is None:
            if match["lenient"]:
                return ""
            raise self._missing(name, token, place)
        self.used.add(name)
        if name not in self._expanded:
            inner = _Place(place.message_index, (*place.chain, name))
            self._expanded[name] = self.expand(text.removesuffix("\n"), inner)
        return self._expanded[name]

    def _missing(self, name: str, token: Token, place: _Place) -> PromptError:
        close = difflib.get_close_matches(name, list(self._partials), n=1, cutoff=0.5)
        known = ", ".join(sorted(self._partials)) or "none"
        hint = f"did you mean `{close[0]}`?" if close else f"partials of this feature: {known}"
        return place.error("missing_partial", f"there is no partial `{name}`", line=token.line, hint=hint)


def _is_include(token: Token) -> bool:
    return token.kind == "statement" and token.body.split(None, 1)[:1] == ["include"]


def _own(tokens: list[Token], index: int) -> str:
    """A token that is no include. Text beside an include loses here what whitespace control takes from it.

    Left to rendering, the tag on its other side would reach through it, and over the seam.
    """
    token = tokens[index]
    text = token.text
    before = tokens[index - 1] if index else None
    after = tokens[index + 1] if index + 1 < len(tokens) else None
    if token.kind != "data" or not any(_is_include(beside) for beside in (before, after) if beside is not None):
        return text
    if before is not None and before.trims_after:
        text = text.lstrip()
    if after is not None and after.trims_before:
        text = text.rstrip()
    return text
