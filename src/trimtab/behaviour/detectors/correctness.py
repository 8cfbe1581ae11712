"""Is the answer right? By the score that came with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trimtab.behaviour.detector import Detector

if TYPE_CHECKING:
    from trimtab.behaviour.reading import Reading

__all__ = ["DETECTORS"]


def _right(reading: Reading) -> bool | None:
    """The score is at least `right_from` (one half). Asked where there is a score."""
    score = reading.output.score
    return None if score is None else score >= reading.expected.right_from


DETECTORS = (Detector("answer.right", "content", "is right", _right, worse="fewer"),)
