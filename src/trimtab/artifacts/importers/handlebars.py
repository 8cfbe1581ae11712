"""Cuts Handlebars templates into tags and text, with Handlebars' own rule for lines that hold only a tag."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from trimtab.core.errors import SourceError

__all__ = ["Tag", "Text", "parse_arguments", "tokenize_handlebars"]

_TAG = re.compile(
    r"\\(?P<escaped>\{\{.*?\}\})"
    r"|(?P<raw>\{\{\{\{)"
    r"|\{\{(?P<open1>~)?!--.*?--(?P<close1>~)?\}\}"
    r"|\{\{(?P<open2>~)?!(?:[^}]|\}(?!\}))*?(?P<close2>~)?\}\}"
    r"|\{\{(?P<open3>~)?(?P<triple>\{)?(?P<sigil>[#/>^&]|)\s*(?P<body>(?:\"[^\"]*\"|'[^']*'|[^}\"'])*?)\s*(?(triple)\})(?P<close3>~)?\}\}",
    re.DOTALL,
)
_ARGUMENT = re.compile(
    r"(?:(?P<key>[A-Za-z_][\w-]*)=)?(?P<value>\"[^\"]*\"|'[^']*'|\([^)]*\)|\|[^|]*\||[^\s=]+)(?:\s+|$)"
)
_LINE_START = re.compile(r"(?:^|\n)[ \t]*\Z")
_LINE_END = re.compile(r"[ \t]*(?:\n|\Z)")


@dataclass(frozen=True, slots=True)
class Text:
    """Literal text."""

    value: str


@dataclass(frozen=True, slots=True)
class Tag:
    """A tag: `{{value}}`, `{{#open}}`, `{{/close}}`, `{{>partial}}`, `{{^}}` or a comment."""

    sigil: Literal["", "#", "/", ">", "^", "&", "!"]
    body: str
    line: int
    trims_before: bool = False
    trims_after: bool = False
    indented: bool = False
    """For a partial alone on its line: whether there is whitespace before it, which Handlebars gives every line."""


def tokenize_handlebars(text: str, path: str, first_line: int) -> list[Text | Tag]:
    """Return the pieces of a template; raises `SourceError` (`malformed_template`, `unconvertible`) with the line."""
    pieces: list[Text | Tag] = []
    position = 0
    literal = ""
    while (match := _TAG.search(text, position)) is not None:
        literal += text[position : match.start()]
        position = match.end()
        line = first_line + text.count("\n", 0, match.start())
        if match["escaped"] is not None:
            literal += match["escaped"]
            continue
        if match["raw"] is not None:
            raise SourceError("unconvertible", "raw blocks cannot be converted", path=path, line=line)
        tag = _tag(match, line)
        if _stands_alone(tag, text, match):
            end = _LINE_END.match(text, position)
            indent = len(literal) - len(literal.rstrip(" \t"))
            if tag.sigil == ">":
                tag = Tag(tag.sigil, tag.body, line, indented=indent > 0)
            else:
                literal = literal[: len(literal) - indent]
                position = position if end is None else end.end()
        pieces += [Text(literal), tag]
        literal = ""
    literal += text[position:]
    stray = literal.find("{{")
    if stray >= 0:
        line = first_line + text.count("\n", 0, text.rfind("{{"))
        raise SourceError("malformed_template", "this tag is not closed", path=path, line=line)
    return [piece for piece in [*pieces, Text(literal)] if piece != Text("")]


def _tag(match: re.Match[str], line: int) -> Tag:
    groups = match.groupdict()
    opening = any(groups[f"open{n}"] for n in (1, 2, 3))
    closing = any(groups[f"close{n}"] for n in (1, 2, 3))
    if match["body"] is None:
        return Tag("!", "", line, opening, closing)
    sigil = match["sigil"]
    return Tag(sigil, match["body"], line, opening, closing)  # type: ignore[arg-type]


def _stands_alone(tag: Tag, text: str, match: re.Match[str]) -> bool:
    """Whether the tag is a block, comment or partial with nothing else on its line."""
    if not (tag.sigil in {"#", "/", "^", ">", "!"} or tag.body.split(None, 1)[:1] == ["else"]):
        return False
    return bool(_LINE_START.search(text, 0, match.start()) and _LINE_END.match(text, match.end()))


def parse_arguments(body: str) -> tuple[list[str], dict[str, str]] | None:
    """Return positional and named arguments of a tag, or `None` where they cannot be read."""
    positional: list[str] = []
    named: dict[str, str] = {}
    position = 0
    while position < len(body):
        match = _ARGUMENT.match(body, position)
        if match is None:
            return None
        if match["key"] is None:
            positional.append(match["value"])
        else:
            named[match["key"]] = match["value"]
        position = match.end()
    return positional, named
