"""Bodies of requests that say more than a word."""

from __future__ import annotations

from typing import Annotated

import msgspec

from trimtab.control.evals import EvalOutcome, counted, stated
from trimtab.core.errors import InputError
from trimtab.evals.tally import Tally

__all__ = ["EvalWish"]

_Count = Annotated[int, msgspec.Meta(ge=0)]


class _Cases(msgspec.Struct, forbid_unknown_fields=True):
    """How many cases ended how."""

    passed: _Count
    failed: _Count = 0
    errors: _Count = 0
    skipped: _Count = 0


class EvalWish(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """How a suite ended: by counted cases, or on the caller's word."""

    release: str
    suite: str
    passed: bool | None = None
    reason: str = ""
    cases: _Cases | None = None
    threshold: float = 1.0
    dataset: str = ""
    """`NAME@v3`: what it was tried on, for plans that pin one."""

    def outcome(self) -> EvalOutcome:
        """Return what it says; raises `InputError` unless it says exactly one of `passed` and `cases`."""
        if (self.passed is None) == (self.cases is None):
            raise InputError("no_outcome", "say how it ended: exactly one of `passed` and `cases`", param="passed")
        if self.cases is None:
            return stated(passed=bool(self.passed), reason=self.reason)
        return counted(Tally(**msgspec.structs.asdict(self.cases)), threshold=self.threshold)
