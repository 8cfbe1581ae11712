"""How much is said."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trimtab.behaviour.detector import Detector

if TYPE_CHECKING:
    from trimtab.behaviour.reading import Reading

__all__ = ["DETECTORS"]


def _characters(reading: Reading) -> int | None:
    """Characters of the text, compared by their ratio. Not asked of empty texts."""
    return len(reading.text) or None


def _lines(reading: Reading) -> int | None:
    """Lines of the text, blank ones too, compared by their ratio. Not asked of empty texts."""
    return len(reading.lines) or None


def _words_per_line(reading: Reading) -> float | None:
    """Words (runs without white space) in each line that is not blank, on average. Not asked of empty texts."""
    full = sum(1 for line in reading.lines if line.strip())
    return len(reading.text.split()) / full if full else None


def _questions(reading: Reading) -> int:
    """Question marks in the text."""
    return reading.text.count("?") + reading.text.count("\uff1f")


def _digits(reading: Reading) -> float | None:
    """Share of the characters that are digits. Not asked of empty texts."""
    return sum(map(reading.text.count, "0123456789")) / len(reading.text) if reading.text else None


DETECTORS = (
    Detector("length.characters", "style", "characters", _characters, "ratio", least=0.05),
    Detector("length.lines", "style", "lines", _lines, "ratio", least=0.05),
    Detector("length.words_per_line", "style", "words per line", _words_per_line, "ratio", least=0.05),
    Detector("length.questions", "style", "question marks", _questions, "mean", least=0.05),
    Detector("length.digits", "style", "share of digits", _digits, "mean"),
)
