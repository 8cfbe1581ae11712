"""Takes a candidate out of service inside the process that sees it fail, without asking anybody.

The controller proves harm from everybody's events and with stated error rates; it needs a control plane, and seconds.
A candidate whose calls plainly fail (a model that refuses the new parameters, a prompt whose variable nobody sends) is
noticed here first. Each process judges what it served itself.

One bet per candidate outcome that has a concurrent outcome of stable, on "this candidate fails far more often than
stable does right now": its error rate is above q = 0.05 + 2 x stable's recent rate. The stake is a likelihood ratio
against q, restarted whenever it falls below 1 (CUSUM), averaged over three alternatives. Such a detector raises on
average at most one false alarm in `ALARM_AT` bets for candidates whose rate is q, and far fewer for healthy ones
(e-detectors: Shin, Ramdas & Rinaldo, arXiv 2203.03532, section 2). From a stable that does not fail, five users of the
candidate in a row who meet errors are enough; an outage that hits both raises none.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from trimtab.events import Generation

__all__ = ["ALARM_AT", "CandidateBreaker"]

ALARM_AT: Final = 1e6
_ALTERNATIVES: Final = (0.5, 0.75, 0.95)
"""Error rates bet on."""
_FLOOR: Final = 0.05
_FACTOR: Final = 2.0
_HIGHEST: Final = 0.95
_MEMORY: Final = 0.1
"""Weight of the newest outcome in stable's recent error rate."""
_WAITING: Final = 16
"""Candidate outcomes that wait for one of stable. Older ones are dropped: only what is concurrent can be compared."""


class CandidateBreaker:
    """Judges one rollout's candidate by the outcomes this process recorded. Thread-safe."""

    __slots__ = (
        "_concurrent",
        "_failed_units",
        "_lock",
        "_log_wealth",
        "_stable_rate",
        "_waiting",
        "error_code",
        "tripped",
    )

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._log_wealth = [0.0] * len(_ALTERNATIVES)
        self._stable_rate = 0.0
        self._concurrent = False
        """Whether stable answered since the last bet."""
        self._waiting: deque[bool] = deque(maxlen=_WAITING)
        self._failed_units: set[str] = set()
        """Whose errors were counted since the bets last began anew: one user who errs often is not many users."""
        self.tripped = False
        self.error_code = ""
        """Of the candidate's last error."""

    @property
    def failed_units(self) -> int:
        """How many units of the candidate met errors in the run of bets at hand."""
        return len(self._failed_units)

    @property
    def stable_rate(self) -> float:
        """Stable's recent error rate in [0, 1]."""
        return self._stable_rate

    def note(self, generation: Generation) -> bool:
        """Take the outcome of a generation that a user met; returns whether this one takes the candidate out.

        Says so once. What the caller broke off says nothing; neither does a shadow, whose answer nobody sees, nor a
        challenger, which is neither stable nor the candidate: the controller's guardrails drop it.
        """
        arm = generation.arm
        if self.tripped or arm in {"shadow", "challenger"} or generation.status == "aborted":
            return False
        failed = generation.status == "error"
        with self._lock:
            if failed and arm == "candidate":
                self.error_code = generation.error_code
                if generation.unit in self._failed_units:
                    return False
                self._failed_units.add(generation.unit)
            return self._take(candidate=arm == "candidate", failed=failed)

    def note_success(self, *, candidate: bool) -> bool:
        """Take a good outcome, of the candidate or of stable, as `note` does."""
        if self.tripped:
            return False
        with self._lock:
            if candidate or self._waiting:
                return self._take(candidate=candidate, failed=False)
            self._stable_rate -= self._stable_rate * _MEMORY
            self._concurrent = True
            return False

    def _take(self, *, candidate: bool, failed: bool) -> bool:
        if not candidate:
            self._stable_rate += (failed - self._stable_rate) * _MEMORY
            if not self._waiting:
                self._concurrent = True
                return False
            return self._bet(failed=self._waiting.popleft())
        if not self._concurrent:
            self._waiting.append(failed)
            return False
        self._concurrent = False
        return self._bet(failed=failed)

    def _bet(self, *, failed: bool) -> bool:
        null = min(_HIGHEST, _FLOOR + _FACTOR * self._stable_rate)
        log = math.log
        fresh = []
        for wealth, rate in zip(self._log_wealth, _ALTERNATIVES, strict=True):
            bet = max(rate, null)
            fresh.append(max(0.0, wealth) + (log(bet / null) if failed else log((1 - bet) / (1 - null))))
        self._log_wealth = fresh
        top = max(fresh)
        if top <= 0.0:
            self._failed_units.clear()
            return False
        self.tripped = math.fsum(map(math.exp, fresh)) / len(fresh) >= ALARM_AT
        return self.tripped
