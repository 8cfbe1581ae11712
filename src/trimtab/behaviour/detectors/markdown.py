"""Markdown and LaTeX."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from trimtab.behaviour.detector import Detector

if TYPE_CHECKING:
    from trimtab.behaviour.reading import Reading

__all__ = ["DETECTORS"]

_HEADING = re.compile(r"^#{1,6} +\S", re.MULTILINE)
_BULLET = re.compile(r"^[ \t]*[-*+\u2022] +\S", re.MULTILINE)
_NUMBERED = re.compile(r"^[ \t]*\d{1,3}[.)] +\S", re.MULTILINE)
_BOLD = re.compile(r"\*\*[^*\n]+\*\*|__[^_\n]+__")
_TABLE = re.compile(r"^[ \t]*\|?[ \t]*:?-{2,}:?[ \t]*\|[ \t:|-]*$", re.MULTILINE)
_LINK = re.compile(r"\[[^\]\n]+\]\([^)\s]+\)")
_CODE = re.compile(r"(?<!`)`[^`\n]+`(?!`)")


def _heading(reading: Reading) -> bool:
    """A line begins with one to six `#`, a space and text."""
    return "#" in reading.text and _HEADING.search(reading.text) is not None


def _bullets(reading: Reading) -> bool:
    """At least two lines begin with `-`, `*`, `+` or a bullet, a space and text."""
    return len(_BULLET.findall(reading.text)) > 1


def _numbered(reading: Reading) -> bool:
    """At least two lines begin with a number of up to three digits, `.` or `)`, a space and text."""
    return len(_NUMBERED.findall(reading.text)) > 1


def _bold(reading: Reading) -> bool:
    """Text stands between two `**` (or `__`) on one line."""
    return ("**" in reading.text or "__" in reading.text) and _BOLD.search(reading.text) is not None


def _table(reading: Reading) -> bool:
    """A line is a table's rule: dashes and `|`, such as `|---|---|`."""
    return "|" in reading.text and _TABLE.search(reading.text) is not None


def _link(reading: Reading) -> bool:
    """The text has a Markdown link: text in brackets, right behind it an address in parentheses."""
    return "](" in reading.text and _LINK.search(reading.text) is not None


def _inline_code(reading: Reading) -> bool:
    """Text stands between two single backticks on one line."""
    return "`" in reading.text and _CODE.search(reading.text) is not None


def _latex(reading: Reading) -> bool:
    r"""The text has LaTeX: `\(`, `\[`, `$$`, one of its common commands, or `$...$` with `\`, `^` or `_` between."""
    return reading.latex


DETECTORS = (
    Detector("markdown.heading", "style", "has a heading", _heading),
    Detector("markdown.bullets", "style", "has a list with bullets", _bullets),
    Detector("markdown.numbered", "style", "has a numbered list", _numbered),
    Detector("markdown.bold", "style", "has bold text", _bold),
    Detector("markdown.table", "style", "has a table", _table),
    Detector("markdown.link", "style", "has a link", _link),
    Detector("markdown.code", "style", "has inline code", _inline_code),
    Detector("markdown.latex", "style", "has LaTeX", _latex),
)
