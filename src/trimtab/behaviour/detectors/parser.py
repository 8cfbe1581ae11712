"""What the feature's own parser says: the one judge of what breaks it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trimtab.behaviour.detector import Detector

if TYPE_CHECKING:
    from trimtab.behaviour.reading import Reading

__all__ = ["DETECTORS"]


def _read(reading: Reading) -> bool | None:
    """The feature's own parser reads the text as given: it raises nothing."""
    if reading.expected.parser is None:
        return None
    try:
        reading.expected.parser(reading.text)
    except Exception:  # noqa: BLE001 - whatever a parser raises means that it could not read the text
        return False
    return True


DETECTORS = (
    Detector("parser.reads", "breaks", "is read by the feature's parser", _read, worse="fewer", needs="parser"),
)
