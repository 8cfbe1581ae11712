"""Templates of tools that only replace `{{name}}`: everything else in them is literal text."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from trimtab.artifacts.importers.draft import unconvertible
from trimtab.artifacts.template_lexer import escape_literal, join_templates

if TYPE_CHECKING:
    from trimtab.artifacts.document import Node

__all__ = ["bare_to_jinja"]

_VARIABLE = re.compile(r"\{\{\s*(?P<name>[\w.\- ]+?)\s*\}\}")
_NAME = re.compile(r"[A-Za-z_]\w*")


def bare_to_jinja(node: Node, text: str) -> str:
    """Return the minijinja template of such a text; raises `SourceError` (`unconvertible`) for a name like `a-b`."""
    template = ""
    position = 0
    for match in _VARIABLE.finditer(text):
        name = match["name"]
        if not _NAME.fullmatch(name):
            raise unconvertible(node, f"the variable name `{name}`", "rename it: letters, digits and _ only")
        template = join_templates(template, escape_literal(text[position : match.start()]))
        template = join_templates(template, match.group())
        position = match.end()
    return join_templates(template, escape_literal(text[position:]))
