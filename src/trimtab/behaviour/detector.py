"""What a detector is: one question asked of every output, alone."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

    from trimtab.behaviour.model import Severity
    from trimtab.behaviour.reading import Reading

__all__ = ["Detector", "Kind", "Worse"]

Kind = Literal["share", "ratio", "mean"]
"""How values are compared: yes or no by the share of yes, positive numbers by their ratio, numbers by their mean."""


Worse = Literal["more", "fewer", "either", "unusual", "more, never better", ""]
"""When a change is for the worse: `either` way, where readers were built for what was; `unusual`: less of what was
usual before; `more, never better`: more is worse, and less may be as bad; empty where it cannot be said."""


@dataclass(frozen=True, slots=True)
class Detector:
    """A question asked of every output: its answer is yes or no, a number, or `None` where it cannot be asked."""

    id: str
    """`family.name`; never changes."""
    severity: Severity
    says: str
    """What an output does that answers yes ("begins with a code fence"), or what the number counts."""
    measure: Callable[[Reading], float | None]
    kind: Kind = "share"
    worse: Worse = ""
    least: float = 0.01
    """Smallest change worth a flag: of a share in points of 1, of a ratio and of a mean in parts of what it was."""
    needs: str = ""
    """What has to be known of the feature for the question to be asked."""

    @property
    def family(self) -> str:
        """What it is about; the part of its id before the dot."""
        return self.id.partition(".")[0]

    @property
    def rule(self) -> str:
        """The exact rule, in words: the docstring of what measures it."""
        return " ".join(inspect.getdoc(self.measure).split())  # type: ignore[union-attr]
