"""What a demo tells: features as folders, and acts in which one of them changes."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec

from trimtab.demo.traffic import Question

__all__ = ["Act", "Edit", "Scenario"]


class Edit(msgspec.Struct, frozen=True):
    """Replace the one place that says `old` in `file` of the feature folder by `new`."""

    file: str
    old: str
    new: str

    def apply(self, folder: Path) -> None:
        """Edit the file; an edit that was made already (a resumed demo) changes nothing."""
        path = folder / self.file
        text = path.read_text()
        if self.new not in text:
            path.write_text(text.replace(self.old, self.new))


class Act(msgspec.Struct, frozen=True, kw_only=True):
    """One change of one feature and how it must end."""

    feature: str
    headline: str
    message: str
    """The commit message, so to say."""
    edits: list[Edit]
    number: int
    """Number of the release the edits make."""
    expected: Literal["rolled_back", "promoted"]


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """A whole demo."""

    title: str
    features: list[str]
    write: Callable[[Path], None]
    """Write the first version of every feature folder below a path; existing files are left alone."""
    upstream: list[str]
    """Arguments of `trimtab sim`, without the port."""
    ask: Callable[[random.Random], Question]
    usable: Callable[[str], bool]
    unusable_means: str
    """What it means that an answer is not usable, for the view."""
    acts: list[Act]
    rate: float
    """Requests per second."""
