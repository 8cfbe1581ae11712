"""Code: does it parse."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trimtab.behaviour.detector import Detector

if TYPE_CHECKING:
    from trimtab.behaviour.reading import Reading

__all__ = ["DETECTORS"]


def _parses(reading: Reading) -> bool:
    """The text as given is Python 3 (`ast.parse`) with a statement that is more than a bare expression or `pass`."""
    return reading.is_code


def _inside(reading: Reading) -> bool:
    """The text is Python as given, or once the one fenced block in it is taken out (step `extract_code_block`)."""
    return reading.holds_code


DETECTORS = (
    Detector("code.parses", "breaks", "is Python as it stands", _parses, worse="fewer"),
    Detector("code.inside", "content", "is or holds Python", _inside, worse="fewer"),
)
