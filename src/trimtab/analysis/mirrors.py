"""What became of the requests that were to be mirrored: counted by reason, so that none is missing without a word."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from trimtab.events import Generation

__all__ = ["MirrorTally", "mirrors_stopped", "mirrors_words"]

_MOST_CODES = 20
_OTHER = "other"
_NOTABLE_SHARE = 0.1
_NOTABLE = 5
_SPENT = frozenset({"mirror_budget_spent", "mirror_quota_spent", "mirror_unpriced"})
"""Why nothing is mirrored any more, until a person or another day changes it."""


class MirrorTally(msgspec.Struct, kw_only=True):
    """Requests that were to be mirrored, by what became of them."""

    answered: int = 0
    failed: dict[str, int] = {}
    """By error code: the candidate was asked and did not answer. The metric `error` counts them, too."""
    missed: dict[str, int] = {}
    """By error code: the candidate was not asked, or the process ended before it had answered. No metric sees them."""
    cost_usd: float = 0.0

    @property
    def total(self) -> int:
        """All of them."""
        return self.answered + sum(self.failed.values()) + sum(self.missed.values())

    def count(self, shadow: Generation) -> None:
        """Count one shadow generation."""
        self.add(shadow.status, shadow.error_code, requests=1, cost_usd=shadow.cost_usd)

    def add(self, status: str, code: str, *, requests: int, cost_usd: float) -> None:
        """Count mirrors that came to the same end: `ok`, `error` or `aborted`, the latter two with an error code."""
        self.cost_usd += cost_usd
        if status == "ok":
            self.answered += requests
            return
        codes = self.failed if status == "error" else self.missed
        code = code or status
        if code not in codes and len(codes) >= _MOST_CODES:
            code = _OTHER
        codes[code] = codes.get(code, 0) + requests

    @classmethod
    def of(cls, tallies: Iterable[MirrorTally]) -> MirrorTally:
        """Return several as one."""
        total = cls()
        for tally in tallies:
            total.add("ok", "", requests=tally.answered, cost_usd=tally.cost_usd)
            for status, codes in (("error", tally.failed), ("aborted", tally.missed)):
                for code, requests in codes.items():
                    total.add(status, code, requests=requests, cost_usd=0.0)
        return total


def mirrors_words(tally: MirrorTally, *, notable: bool = False) -> str:
    """Return what became of the mirrors, where any was not answered; `notable`: where at least a tenth was not."""
    lost = tally.total - tally.answered
    if not lost or (notable and (lost < _NOTABLE or lost < _NOTABLE_SHARE * tally.total)):
        return ""
    failed, missed = sum(tally.failed.values()), sum(tally.missed.values())
    parts = [
        f"{count:,} {what} ({_by_code(codes)})"
        for count, what, codes in ((failed, "failed", tally.failed), (missed, "were not sent", tally.missed))
        if count
    ]
    return f"Of {tally.total:,} requests to be mirrored, {tally.answered:,} were answered: {', '.join(parts)}."


def mirrors_stopped(tally: MirrorTally) -> bool:
    """Return whether money is why requests were not mirrored: waiting brings no more of them."""
    return any(code in _SPENT for code in tally.missed)


def _by_code(codes: Mapping[str, int]) -> str:
    ordered = sorted(codes.items(), key=lambda item: (-item[1], item[0]))
    shown = [f"{code} {count:,}" for code, count in ordered[:3]]
    rest = sum(count for _, count in ordered[3:])
    return ", ".join([*shown, f"others {rest:,}"] if rest else shown)
