"""What mirrored requests may cost: a budget of their own, booked apart from what users' requests cost.

Two kinds, and a mirror needs room in both. A step's own (`shadow: {budgetUsd: ...}`) holds for the step, on this
machine. A team's (`[gateway.shadow_limits.TEAM]`) holds for all features that the team owns, by the rules of
`serving.limits`. As there, money is known when an answer has ended: what is in flight meanwhile may overshoot.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, NamedTuple

from trimtab.serving.limits import TeamLimits
from trimtab.serving.usage_file import UsageFile, in_memory

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from trimtab.serving.limits import TeamMeter
    from trimtab.serving.snapshot import Price, Route
    from trimtab.serving.team_limit import TeamLimit
    from trimtab.serving.usage_file import UsageSlots

__all__ = ["ShadowBudgets", "ShadowTicket"]

_MICRO = 1_000_000
_REFRESH_MS = 20
_EVER = 1
"""The "day" that a step's money is counted in: it never ends."""
_STEPS_REMEMBERED = 64
_CODES = {
    "rate_limit_exceeded": "mirror_rate_limited",
    "insufficient_quota": "mirror_quota_spent",
    "too_many_concurrent": "mirror_too_many",
}


class ShadowTicket(NamedTuple):
    """The right to send one mirror; give it back with what the mirror cost."""

    step: _StepMeter | None
    team: TeamMeter | None

    def release(self, micro_usd: int) -> None:
        """Count the end of the mirror and its cost, in millionths of a US dollar."""
        if self.step is not None:
            self.step.release(micro_usd)
        if self.team is not None:
            self.team.release(micro_usd)


class ShadowBudgets:
    """The budgets of a process."""

    def __init__(self, folder: Path, limits: Mapping[str, TeamLimit] | None = None) -> None:
        """`folder` is where the processes of this machine count together; `limits` are by owning team."""
        self._folder = folder / "shadow"
        self._teams = TeamLimits(limits or {}, self._folder)
        self._steps: dict[tuple[str, int], _StepMeter] = {}

    def admit(self, route: Route, price: Price | None, now_ms: int) -> ShadowTicket | str:
        """Count a mirror, or return why there is none, as an error code."""
        rollout = route.rollout
        step: _StepMeter | None = None
        if rollout is not None and rollout.shadow_budget_usd is not None:
            if price is None:
                return "mirror_unpriced"
            step = self._step(rollout.id, rollout.stage)
            if not step.admit(rollout.shadow_budget_usd, now_ms):
                return "mirror_budget_spent"
        team = self._teams.find(route.team)
        refused = None if team is None else team.admit(now_ms)
        if refused is not None:
            if step is not None:
                step.release(0)
            return _CODES[refused.code]
        return ShadowTicket(step, team)

    @property
    def meters(self) -> list[TeamMeter]:
        """Those of teams that were asked for so far."""
        return self._teams.meters

    def tick(self, now_ms: int) -> None:
        """Show the other processes that this one lives; to be called every second."""
        for meter in self._teams.meters:
            meter.tick(now_ms)

    def close(self) -> None:
        """Give every slot back."""
        self._teams.close()
        for step in self._steps.values():
            step.close()
        self._steps.clear()

    def _step(self, rollout: str, stage: int) -> _StepMeter:
        key = (rollout, stage)
        found = self._steps.get(key)
        if found is None:
            if len(self._steps) >= _STEPS_REMEMBERED:
                self._steps.pop(next(iter(self._steps))).close()
            found = self._steps[key] = _StepMeter(self._folder / "steps" / f"{rollout}-{stage}.usage")
        return found


class _StepMeter:
    """What the mirrors of one step have cost on this machine."""

    __slots__ = ("_file", "_lock", "_others", "_read_ms", "_slots")

    def __init__(self, path: Path) -> None:
        """Share the file with other processes; count alone where it cannot be kept."""
        self._file: UsageFile | None = None
        try:
            self._file = UsageFile(path)
            self._slots: UsageSlots = self._file.slots
        except OSError:
            self._slots = in_memory()
        self._lock = threading.Lock()  # in the SDK mirrors run in several threads
        self._read_ms = -_REFRESH_MS
        self._others = 0

    def admit(self, limit_usd: float, now_ms: int) -> bool:
        with self._lock:
            slots = self._slots
            slots.turn(0, _EVER)
            if abs(now_ms - self._read_ms) >= _REFRESH_MS:
                self._others = slots.others(0, _EVER, now_ms).micro_usd
                self._read_ms = now_ms
                slots.beat(now_ms)
            if slots.mine().micro_usd + self._others >= limit_usd * _MICRO:
                return False
            slots.began()
            return True

    def release(self, micro_usd: int) -> None:
        with self._lock:
            self._slots.ended(micro_usd)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
