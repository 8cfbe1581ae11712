"""Who comes for the first time, and when: exact, without the visits that change nothing.

Only a unit's first visit in a phase counts, and units that meet neither arm of the comparison count for nothing, so a
rehearsal has no need to see anybody else. Every user comes as a Poisson process of the same rate, independent of all
others, so the time until the next of n users who have not come yet is exponential with n times that rate, whatever the
others do in between. Users stand on the line [0, 1) that assignment cuts; cells are the pieces of it that met the same
arms so far, and it is the real assignment that says what a cell meets.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from trimtab.analysis.scoring import LEARNING_UNITS
from trimtab.serving.assignment import arm_at

if TYPE_CHECKING:
    import random

    from trimtab.analysis.evidence import Phase
    from trimtab.events import Arm
    from trimtab.serving.snapshot import RolloutRoute

__all__ = ["Arrivals", "Learning", "binomial"]

_NORMAL_VARIANCE = 1000.0
"""Above this variance a rounded normal draw is as good as a binomial one."""


class _Cell:
    """Users on [low, high)."""

    __slots__ = ("arm", "fresh", "high", "low", "met", "mirrored", "users")

    def __init__(self, low: float, high: float, users: int) -> None:
        self.low = low
        self.high = high
        self.users = users
        self.fresh: dict[Phase, int] = {"shadow": users, "live": users}
        """Who has not been counted in a phase."""
        self.met = 0
        """Who met the candidate; never anybody who is fresh in the live phase."""
        self.arm: Arm = "stable"
        self.mirrored = False

    def split(self, at: float, draw: random.Random) -> _Cell:
        """Leave what is below `at` here and return the rest."""
        share = (self.high - at) / (self.high - self.low)
        seen = self.users - self.fresh["live"] - self.met
        fresh, met, rest = (binomial(draw, count, share) for count in (self.fresh["live"], self.met, seen))
        upper = _Cell(at, self.high, fresh + met + rest)
        upper.fresh["live"], upper.met = fresh, met
        lower_users = self.users - upper.users
        shadow = binomial(draw, self.fresh["shadow"], share)
        upper.fresh["shadow"] = min(upper.users, max(shadow, self.fresh["shadow"] - lower_users))
        self.high, self.users = at, lower_users
        self.met -= met
        for phase in self.fresh:
            self.fresh[phase] -= upper.fresh[phase]
        return upper


class Arrivals:
    """The users of one rehearsal."""

    def __init__(self, users: int, visits_per_user_second: float, draw: random.Random) -> None:
        self._rate = visits_per_user_second
        self._draw = draw
        self._cells = [_Cell(0.0, 1.0, users)]
        self._compared: list[_Cell] = []
        self._phase: Phase = "live"
        self._fresh = 0
        self._since = 0.0

    def serve(self, route: RolloutRoute | None, phase: Phase, now: float) -> None:
        """Let `route` be in force from `now` on."""
        self._settle(now)
        self._phase = phase
        if route is not None:
            for at in (route.shadow, route.weight, max(route.weight, 1.0 - route.control_weight)):
                self._cut(at)
        for cell in self._cells:
            middle = (cell.low + cell.high) / 2
            cell.arm, cell.mirrored = ("stable", False) if route is None else arm_at(route, middle)
        self._compared = [
            cell
            for cell in self._cells
            if cell.arm == "candidate" or cell.mirrored or (cell.arm == "matched_control" and phase == "live")
        ]
        self._fresh = sum(cell.fresh[phase] for cell in self._compared)

    def wait(self) -> float:
        """Return the seconds until somebody comes who counts; infinite where nobody is left. Memoryless."""
        # `expovariate` without its checks: this is asked for every user
        return -math.log(1.0 - self._draw.random()) / (self._rate * self._fresh) if self._fresh else math.inf

    def take(self) -> tuple[Arm, bool]:
        """Return the arm of who comes now, and whether the request is mirrored. Nobody comes twice."""
        position = self._draw.random() * self._fresh
        phase, chosen = self._phase, self._compared[-1]
        for cell in self._compared:
            position -= cell.fresh[phase]
            if position < 0:
                chosen = cell
                break
        chosen.fresh[phase] -= 1
        self._fresh -= 1
        if chosen.arm == "candidate":
            chosen.met += 1
        return chosen.arm, chosen.mirrored

    def wait_for_known(self, arm: Arm) -> float:
        """Return the seconds until somebody of an arm comes who has been counted before."""
        known = sum(cell.users - cell.fresh[self._phase] for cell in self._compared if cell.arm == arm)
        return self._draw.expovariate(self._rate * known) if known else math.inf

    def met(self, now: float) -> int:
        """Return how many users have met the candidate."""
        self._settle(now)
        return sum(cell.met for cell in self._cells)

    @property
    def on_stable(self) -> int:
        """How many users stable answers."""
        return sum(cell.users for cell in self._cells if cell.arm != "candidate")

    def _settle(self, now: float) -> None:
        """Let users who were counted as control, and are served the candidate since, meet it."""
        chance = -math.expm1(-self._rate * (now - self._since))
        self._since = now
        for cell in self._cells:
            waiting = cell.users - cell.fresh["live"] - cell.met
            if cell.arm == "candidate" and waiting:
                cell.met += binomial(self._draw, waiting, chance)

    def _cut(self, at: float) -> None:
        for index, cell in enumerate(self._cells):
            if cell.low < at < cell.high:
                self._cells.insert(index + 1, cell.split(at, self._draw))
                return


class Learning:
    """When the caps of unbounded metrics are learned: after a number of stable's users came."""

    def __init__(self, visits_per_user_second: float, draw: random.Random) -> None:
        self._rate = visits_per_user_second
        self._draw = draw
        self._times: list[float] = []
        self.done_at = math.inf
        """Seconds since the start; infinite where too few users are left to learn from."""

    def serve(self, users: int, now: float) -> None:
        """Let stable answer `users` from `now` on."""
        self._times = [at for at in self._times if at <= now]
        at = now
        for seen in range(len(self._times), min(users, LEARNING_UNITS)):
            at += self._draw.expovariate(self._rate * (users - seen))
            self._times.append(at)
        self.done_at = self._times[-1] if len(self._times) >= LEARNING_UNITS else math.inf


def binomial(draw: random.Random, count: int, chance: float) -> int:
    """Return how many of `count` come true."""
    if count <= 0 or chance <= 0.0:
        return 0
    if chance >= 1.0:
        return count
    if chance > 0.5:  # noqa: PLR2004 - one half
        return count - binomial(draw, count, 1.0 - chance)
    variance = count * chance * (1.0 - chance)
    if variance > _NORMAL_VARIANCE:
        return min(count, max(0, round(draw.gauss(count * chance, math.sqrt(variance)))))
    true, left, scale = 0, count, math.log1p(-chance)
    while True:  # from one that comes true to the next
        skipped = math.log(1.0 - draw.random()) / scale
        if skipped >= left:
            return true
        left -= int(skipped) + 1
        true += 1
