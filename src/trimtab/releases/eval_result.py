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
    at_ms: int
    actor: str

    @property
    def text(self) -> str:
        """The result in words."""
        ended = "passed" if self.passed else "failed"
        return f"`{self.suite}` {ended}" + (f": {self.detail}" if self.detail else "")
