"""Which candidates this process has taken out of service by itself, and what of a snapshot it therefore serves."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from trimtab.core.ids import new_id
from trimtab.events import Withdrawal
from trimtab.serving.candidate_breaker import CandidateBreaker
from trimtab.serving.routing import RoutingTable

if TYPE_CHECKING:
    from trimtab.events import Generation

__all__ = ["Withdrawals"]

_log = logging.getLogger("trimtab.serving")


class Withdrawals:
    """One breaker for each rollout in force. A candidate that was taken out stays out until its attempt ends.

    A retry is a new attempt with a new id, and starts anew; so does a process.
    """

    def __init__(self) -> None:
        self._breakers: dict[str, CandidateBreaker] = {}

    @property
    def rollouts(self) -> list[str]:
        """Ids of the rollout attempts whose candidate is out of service here, sorted."""
        return sorted(rollout for rollout, breaker in self._breakers.items() if breaker.tripped)

    def follow(self, table: RoutingTable) -> RoutingTable:
        """Return what is to be served of a new table, and forget the attempts that it no longer has."""
        attempts = [route.rollout.id for route in table.snapshot.routes if route.rollout is not None]
        known = self._breakers
        self._breakers = {attempt: known.get(attempt) or CandidateBreaker() for attempt in attempts}
        withdrawn = frozenset(self.rollouts)
        return RoutingTable(table.snapshot, reuse=table.releases, withdrawn=withdrawn) if withdrawn else table

    def note(self, generation: Generation) -> bool:
        """Take the outcome of a generation; returns whether its rollout's candidate must go now."""
        breaker = self._breakers.get(generation.rollout)
        return breaker is not None and breaker.note(generation)

    def breaker(self, rollout: str) -> CandidateBreaker | None:
        """Return what judges a rollout attempt in force."""
        return self._breakers.get(rollout)

    def event(self, last: Generation, *, process: str, at_ms: int) -> Withdrawal:
        """Return the event that tells the control plane; `last` is the generation that `note` said yes to."""
        breaker = self._breakers.get(last.rollout) or CandidateBreaker()
        reason = (
            f"{breaker.failed_units} units in a row met errors of the candidate (last: "
            f"{breaker.error_code or 'unknown'}) while {breaker.stable_rate:.0%} of stable's calls failed"
        )
        told = {"rollout": last.rollout, "feature": last.feature, "generation": last.id, "trace": last.trace}
        _log.error(
            "candidate of %s withdrawn here, stable serves %s: %s", last.rollout, last.feature, reason, extra=told
        )
        return Withdrawal(
            id=new_id("wd", at_ms),
            at_ms=at_ms,
            feature=last.feature,
            environment=last.environment,
            process=process,
            rollout=last.rollout,
            stage=last.stage,
            error_code=breaker.error_code,
            reason=reason,
        )
