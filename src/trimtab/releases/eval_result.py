"""What a test suite said of a release, recorded for good: a later run is a later result, and the latest counts."""

from __future__ import annotations

from typing import Literal

import msgspec

__all__ = ["EvalResult", "EvalSource"]

EvalSource = Literal["stated", "junit", "promptfoo", "counts", "simulation", "eval"]
"""`stated`: somebody's word. `counts`: numbers of cases without a report. `eval`: the gate of a suite that
Trimtab ran itself."""


class EvalResult(msgspec.Struct, frozen=True, kw_only=True):
    """One run of one suite."""

    feature: str
    release: str
    """Digest of the release that was tried."""
    suite: str
    number: int
    """Counts the results of this suite for this release, from 1."""
    passed: bool
    source: EvalSource
    detail: str = ""
    """What the suite found, in words."""
    cases: int | None = None
    """How many cases ran; `None` where nobody said."""
    cases_passed: int | None = None
    threshold: float | None = None
    """Share of the cases that had to pass."""
    dataset: str = ""
    """`name@v3`, the dataset that the release was tried on; empty where nobody said."""
    dataset_digest: str = ""
    split: str = ""
    """Which part of the dataset; empty for all of it."""
    overrides: str = ""
    """What failed before and is passed here on the actor's word, in words; empty where nothing did."""
    at_ms: int
    actor: str

    @property
    def text(self) -> str:
        """The result in words."""
        ended = "passed" if self.passed else "failed"
        if self.overrides:
            ended += f" on {self.actor}'s word although it had failed ({self.overrides})"
        return f"`{self.suite}` {ended}" + (f": {self.detail}" if self.detail else "")
