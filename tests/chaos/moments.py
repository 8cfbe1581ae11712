"""The moments at which a kill hurts most: an answer just left, a commit of the evidence is half done."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    from collections.abc import Callable
    from pathlib import Path

    from tests.chaos.callers import Callers

__all__ = ["after_an_answer", "inside_a_commit"]

_PATIENCE_SECONDS = 1.5
_LOOK_SECONDS = 0.0005
_STEPS = 5
"""A commit notes what it will write, writes, names it, deletes: as many times its folder changes."""


def after_an_answer(callers: Callers) -> None:
    """Return the moment a user has an answer: its generation is in the buffer and in no segment yet."""
    heard = len(callers.answers)
    _wait(lambda: len(callers.answers) > heard)


def inside_a_commit(evidence: Path, seeded: random.Random) -> None:
    """Return somewhere between the first write of a compaction and its last."""
    changes, seen = seeded.randint(1, _STEPS), _changed(evidence)

    def is_there() -> bool:
        nonlocal changes, seen
        now = _changed(evidence)
        changes -= now != seen
        seen = now
        return changes <= 0

    _wait(is_there)


def _changed(evidence: Path) -> list[int]:
    try:
        return [folder.stat().st_mtime_ns for folder in (evidence / "_log").iterdir()]
    except OSError:
        return []


def _wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not condition() and time.monotonic() < deadline:
        time.sleep(_LOOK_SECONDS)
