"""Cuts a template into data, expressions, statements, comments and raw blocks.

minijinja parses and renders; what it does not offer is the place of an `{% include %}` in the text, which inlining
needs. Every text that comes here has passed minijinja's own parser, so this lexer only has to find where a tag ends.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

__all__ = ["Token", "escape_literal", "join_templates", "tokenize"]

TokenKind = Literal["data", "expression", "statement", "comment", "raw"]

_OPENING = re.compile(r"\{[{%#]")
_RAW_OPEN = re.compile(r"\{%[-+]?\s*raw\s*[-+]?%\}")
_RAW_CLOSE = re.compile(r"\{%[-+]?\s*endraw\s*[-+]?%\}")
_STRING = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"", re.DOTALL)
_CLOSING = {"{{": "}}", "{%": "%}"}
_TAG_STARTS = frozenset("{%#")
_TRIMS_AFTER = ("-}}", "-%}", "-#}")
_TRIMS_BEFORE = ("{{-", "{%-", "{#-")
_BARRIER = "{##}"
"""An empty comment: renders to nothing, and whitespace control does not reach across it."""
_NESTING = {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}


@dataclass(frozen=True, slots=True)
class Token:
    """One piece of a template; the texts of all tokens, joined, are the template."""

    kind: TokenKind
    text: str
    line: int
    """Of its first character, from 1."""

    @property
    def body(self) -> str:
        """What stands between the delimiters of a tag, without whitespace control."""
        if self.kind == "data":
            return ""
        inner = self.text[2:-2]
        if inner[:1] in {"-", "+"}:
            inner = inner[1:]
        if inner[-1:] in {"-", "+"}:
            inner = inner[:-1]
        return inner.strip()

    @property
    def trims_before(self) -> bool:
        """Whether the tag removes the whitespace before it (`{%-`)."""
        return self.kind != "data" and self.text[2:3] == "-"

    @property
    def trims_after(self) -> bool:
        """Whether the tag removes the whitespace after it (`-%}`)."""
        return self.kind != "data" and self.text[-3:-2] == "-"

    @property
    def code(self) -> str:
        """The body of an expression or statement with its string literals blanked."""
        return _STRING.sub("''", self.body) if self.kind in {"expression", "statement"} else ""


def tokenize(text: str) -> list[Token]:
    """Return the tokens of a template that minijinja accepts."""
    tokens: list[Token] = []
    position = 0
    line = 1
    while position < len(text):
        kind, end = _next(text, position)
        piece = text[position:end]
        tokens.append(Token(kind, piece, line))
        line += piece.count("\n")
        position = end
    return tokens


def _next(text: str, position: int) -> tuple[TokenKind, int]:
    opening = _OPENING.search(text, position)
    if opening is None:
        return "data", len(text)
    if opening.start() > position:
        return "data", opening.start()
    if opening.group() == "{#":
        end = text.find("#}", position + 2)
        return "comment", len(text) if end < 0 else end + 2
    raw = _RAW_OPEN.match(text, position)
    if raw is not None:
        close = _RAW_CLOSE.search(text, raw.end())
        return "raw", len(text) if close is None else close.end()
    return ("expression" if opening.group() == "{{" else "statement"), _tag_end(text, position)


def _tag_end(text: str, position: int) -> int:
    closing = _CLOSING[text[position : position + 2]]
    depth = 0
    cursor = position + 2
    while cursor < len(text):
        if depth <= 0 and text.startswith(closing, cursor):
            return cursor + 2
        literal = _STRING.match(text, cursor) if text[cursor] in "'\"" else None
        if literal is not None:
            cursor = literal.end()
            continue
        depth += _NESTING.get(text[cursor], 0)
        cursor += 1
    return len(text)


def join_templates(left: str, right: str) -> str:
    """Put two templates side by side so that each still reads as it did alone."""
    reaches_over = left.rstrip().endswith(_TRIMS_AFTER) or right.lstrip().startswith(_TRIMS_BEFORE)
    if left.endswith("{") and (reaches_over or right[:1] in _TAG_STARTS):
        return f"{left[:-1]}{{{{ '{{' }}}}{right}"
    if reaches_over:
        return f"{left}{_BARRIER}{right}"
    return left + right


def escape_literal(text: str) -> str:
    """Return a template that renders to exactly this text."""
    return re.sub(r"\{(?=[{%#])", "{{ '{' }}", text)
