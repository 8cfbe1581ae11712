"""Splits `---` YAML front matter from the text below it, keeping line numbers."""

from __future__ import annotations

import re
from typing import NamedTuple

from trimtab.artifacts.document import Node
from trimtab.artifacts.yaml_source import parse_yaml

__all__ = ["FrontMatter", "split_front_matter"]

_FENCED = re.compile(r"(?P<before>(?:[ \t]*(?:#[^\n]*)?\n)*)---[ \t]*\n(?P<yaml>(?:.*\n)*?)---[ \t]*(?:\n|\Z)")


class FrontMatter(NamedTuple):
    """A file in its two parts."""

    settings: Node
    body: Node
    """A text node; `line` is the file's line on which the body begins."""


def split_front_matter(text: str, path: str) -> FrontMatter:
    """Return front matter and body; without front matter it is an empty mapping. Raises as `parse_yaml`."""
    match = _FENCED.match(text)
    if match is None:
        return FrontMatter(Node({}, path, 1), Node(text, path, 1, "body", 1))
    first = match["before"].count("\n") + 2
    settings = parse_yaml(match["yaml"], path, first_line=first)
    line = text.count("\n", 0, match.end()) + 1
    return FrontMatter(settings, Node(text[match.end() :], path, line, "body", line))
