"""How dates, numbers and characters are written: what a regular expression downstream trips over."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from trimtab.behaviour.detector import Detector

if TYPE_CHECKING:
    from trimtab.behaviour.reading import Reading

__all__ = ["DETECTORS"]

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = rf"(?:{'|'.join(_MONTHS)})[a-z]*\.?"
_ISO = re.compile(r"\b\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])\b")
_SLASHES = re.compile(r"\b\d{1,2}/\d{1,2}/(?:\d{4}|\d{2})\b")
_DOTS = re.compile(r"\b\d{1,2}\.\d{1,2}\.(?:\d{4}|\d{2})\b")
_NAMED = re.compile(
    rf"\b(?:{_MONTH} \d{{1,2}}(?:st|nd|rd|th)?,? \d{{4}}|\d{{1,2}}(?:st|nd|rd|th)? {_MONTH},? \d{{4}})\b"
)
_DOTTED, _BEHIND_COMMA = re.compile(r"\.\d{1,2}\.\d\d"), re.compile(r",\d")
"""What has to be there for the slower patterns to find anything: these begin with one character and are quick."""
_GROUPED = re.compile(r"(?<![\d.,])\d{1,3}(?:,\d{3})+(?![\d,])")
_DECIMAL_COMMA = re.compile(r"(?<![\d.,])\d+,\d{1,2}(?![\d,])")
_CURRENCY = re.compile(r"[€£¥] ?\d|\d ?[€£¥]")
_DOLLARS = re.compile(r"\$ ?\d")
_PERCENT = re.compile(r"\d ?%")
_CURLY = frozenset("\u2018\u2019\u201c\u201d")
_ODD_SPACES = frozenset("\u00a0\u202f\u2009\u200b\u200c\u200d\ufeff\u2060")
_EMOJI = re.compile("[\u2600-\u27bf\U0001f300-\U0001faff]")


def _iso(reading: Reading) -> bool:
    """The text has a date such as 2026-03-09."""
    return "-" in reading.text and _ISO.search(reading.text) is not None


def _slashes(reading: Reading) -> bool:
    """The text has a date such as 3/9/2026 or 03/09/26."""
    return "/" in reading.text and _SLASHES.search(reading.text) is not None


def _dots(reading: Reading) -> bool:
    """The text has a date such as 9.3.2026."""
    return _DOTTED.search(reading.text) is not None and _DOTS.search(reading.text) is not None


def _named(reading: Reading) -> bool:
    """The text has a date with an English month, such as March 9, 2026 or 9 Mar 2026."""
    return any(month in reading.lower for month in _MONTHS) and _NAMED.search(reading.lower) is not None


def _grouped(reading: Reading) -> bool:
    """The text has a number whose thousands are set apart by commas, such as 12,500."""
    return _BEHIND_COMMA.search(reading.text) is not None and _GROUPED.search(reading.text) is not None


def _decimal_comma(reading: Reading) -> bool:
    """The text has a number with one or two digits behind a comma, such as 12,5."""
    return _BEHIND_COMMA.search(reading.text) is not None and _DECIMAL_COMMA.search(reading.text) is not None


def _currency(reading: Reading) -> bool:
    """The text has an amount with $, €, £ or ¥. A $ does not count in a text with LaTeX."""
    if "$" in reading.text and not reading.latex and _DOLLARS.search(reading.text):
        return True
    return not reading.text.isascii() and _CURRENCY.search(reading.text) is not None


def _percent(reading: Reading) -> bool:
    """The text has a number with %."""
    return "%" in reading.text and _PERCENT.search(reading.text) is not None


def _ascii(reading: Reading) -> bool:
    """Every character is ASCII."""
    return reading.text.isascii()


def _curly(reading: Reading) -> bool:
    """The text has a curly quotation mark or apostrophe."""
    return not reading.text.isascii() and not _CURLY.isdisjoint(reading.text)


def _dash(reading: Reading) -> bool:
    """The text has an en dash or em dash."""
    return "\u2014" in reading.text or "\u2013" in reading.text


def _ellipsis(reading: Reading) -> bool:
    """The text has the one-character ellipsis."""
    return "\u2026" in reading.text


def _spaces(reading: Reading) -> bool:
    """The text has a no-break, thin or zero-width space, or a byte order mark."""
    return not reading.text.isascii() and not _ODD_SPACES.isdisjoint(reading.text)


def _emoji(reading: Reading) -> bool:
    """The text has an emoji or pictograph."""
    return not reading.text.isascii() and _EMOJI.search(reading.text) is not None


DETECTORS = (
    Detector("date.iso", "content", "has a date such as 2026-03-09", _iso),
    Detector("date.slashes", "content", "has a date such as 3/9/2026", _slashes),
    Detector("date.dots", "content", "has a date such as 9.3.2026", _dots),
    Detector("date.named", "content", "has a date with the month's name", _named),
    Detector("number.grouped", "content", "has a number such as 12,500", _grouped),
    Detector("number.decimal_comma", "content", "has a number such as 12,5", _decimal_comma),
    Detector("number.currency", "content", "has an amount with a currency sign", _currency),
    Detector("number.percent", "content", "has a percentage", _percent),
    Detector("unicode.ascii", "style", "is plain ASCII", _ascii),
    Detector("unicode.curly_quotes", "style", "has curly quotes", _curly),
    Detector("unicode.dashes", "style", "has an en or em dash", _dash),
    Detector("unicode.ellipsis", "style", "has a one-character ellipsis", _ellipsis),
    Detector("unicode.odd_spaces", "breaks", "has a space that is none to most programs", _spaces, worse="more"),
    Detector("unicode.emoji", "style", "has an emoji", _emoji),
)
