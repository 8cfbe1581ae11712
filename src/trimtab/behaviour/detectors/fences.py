"""Code fences: the first thing that breaks what reads an answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trimtab.artifacts.output_steps import strip_fence
from trimtab.behaviour.detector import Detector

if TYPE_CHECKING:
    from trimtab.behaviour.reading import Reading

__all__ = ["DETECTORS"]


def _first(reading: Reading) -> bool:
    """The first three characters are backticks: nothing, not even white space, stands before them."""
    return reading.text.startswith("```")


def _whole(reading: Reading) -> bool:
    """The text is one fenced block and nothing else (white space aside): step `strip_code_fence` changes it."""
    return bool(reading.fences) and strip_fence(reading.text) != reading.text


def _any(reading: Reading) -> bool:
    """A line begins with three backticks, white space aside."""
    return bool(reading.fences)


def _unclosed(reading: Reading) -> bool:
    """An odd number of lines begins with three backticks: a block was opened and not closed."""
    return len(reading.fences) % 2 == 1


def _language(reading: Reading) -> bool | None:
    """The first fence names a language (something follows its backticks). Asked of texts with a fence."""
    return reading.fences[0].strip("` ") != "" if reading.fences else None


DETECTORS = (
    Detector("fence.first", "breaks", "begins with a code fence", _first, worse="more"),
    Detector("fence.whole", "breaks", "is one fenced block and nothing else", _whole, worse="more"),
    Detector("fence.unclosed", "breaks", "opens a code fence and does not close it", _unclosed, worse="more"),
    Detector("fence.any", "style", "has a code fence", _any),
    Detector("fence.language", "style", "names a language at its code fence", _language),
)
