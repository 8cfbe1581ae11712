"""How many cases of a suite passed."""

from __future__ import annotations

import msgspec

from trimtab.core.quantity import quantity

__all__ = ["NAMES_KEPT", "Tally"]

NAMES_KEPT = 3
"""Names of failed cases that are kept, as examples."""


class Tally(msgspec.Struct, frozen=True, kw_only=True):
    """Cases counted by how they ended."""

    passed: int = 0
    failed: int = 0
    errors: int = 0
    """Cases that could not be judged."""
    skipped: int = 0
    examples: tuple[str, ...] = ()
    """Names of some that did not pass."""

    @property
    def ran(self) -> int:
        """Cases that passed or did not."""
        return self.passed + self.failed + self.errors

    @property
    def text(self) -> str:
        """The counts in words."""
        words = f"{self.passed:,} of {quantity(self.ran, 'case')} passed"
        if self.errors:
            words += f", {self.errors:,} ended in an error"
        return words + (f"; not passed: {', '.join(self.examples)}" if self.examples else "")
