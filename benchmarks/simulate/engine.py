"""One rollout of a world: real assignment, ledger, bets and verdicts; a naive z-test looks over its shoulder."""

from __future__ import annotations

import math
import random
from statistics import NormalDist
from typing import TYPE_CHECKING

import msgspec

from benchmarks.simulate.worlds import ALPHA, World
from trimtab.analysis.evidence import EvidenceState
from trimtab.analysis.ledger import Ledger, margins_of
from trimtab.analysis.scorers import ScorerLibrary
from trimtab.analysis.verdict import Limits, Verdict, judge
from trimtab.serving.assignment import arm_at, bucket_after, salted
from trimtab.serving.snapshot import RolloutRoute
from trimtab.stats import PairedBetting, betting_grid
from trimtab.stats.betting import CURRENT_GRID

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trimtab.events import Arm

__all__ = ["Naive", "Run", "run"]

WINDOW_MS = 1000
NAIVE_FROM = 30
"""Requests of each arm before the naive test dares to look."""
CRITICAL = NormalDist().inv_cdf(1 - ALPHA)


class Run(msgspec.Struct, frozen=True):
    """When what was said, counted in candidate users; `None` where it never was."""

    rolled_back: int | None
    promoted: int | None
    naive_harm: int | None
    naive_promotion: int | None
    naive_harm_at_the_end: bool
    users: int
    """Candidate users in all."""


class Naive:
    """A one-sided z-test of two shares, requests counted one by one, looked at after every one of them."""

    def __init__(self, margin: float) -> None:
        self.margin = margin
        self.good = {"control": 0.0, "candidate": 0.0}
        self.count = {"control": 0, "candidate": 0}
        self.harm: int | None = None
        self.promotion: int | None = None

    def add(self, side: str, score: float, users: int) -> None:
        """Count one request and look."""
        self.good[side] += score
        self.count[side] += 1
        harm, fine = self.look()
        if harm and self.harm is None:
            self.harm = users
        if fine and self.promotion is None:
            self.promotion = users

    def look(self) -> tuple[bool, bool]:
        """Return whether the test says "worse by more than the margin", and "no worse than that"."""
        control, candidate = self.count["control"], self.count["candidate"]
        if min(control, candidate) < NAIVE_FROM:
            return False, False
        before, after = self.good["control"] / control, self.good["candidate"] / candidate
        error = math.sqrt(before * (1 - before) / control + after * (1 - after) / candidate)
        fall = before - after - self.margin
        return fall > CRITICAL * error, -fall > CRITICAL * error


class Book:
    """The real ledger of one metric, and the verdict on it."""

    def __init__(self, world: World) -> None:
        self.world = world
        specs = [world.metric]
        state = EvidenceState.start(margins_of(specs))
        if world.grid != CURRENT_GRID:
            metric = state.phases["live"].metrics[world.metric.name]
            blank = [0.0] * len(betting_grid(world.metric.tolerance, world.grid))
            metric.harm = PairedBetting(bet="harm", margin=world.metric.tolerance, log_wealth=blank, grid=world.grid)
        self.meter = ScorerLibrary().meters(specs)[0]
        self.ledger = Ledger(state, meters=[self.meter], window_ms=WINDOW_MS, shadow_stages=frozenset(), counted=set())
        self.limits = Limits.of(specs, alpha=ALPHA, phases=1)
        self.rolled_back: int | None = None
        self.promoted: int | None = None

    @property
    def users(self) -> int:
        """Candidate users whose windows closed."""
        return self.ledger.state.phases["live"].units.candidate

    def verdict(self) -> Verdict:
        """Return what the engine says now."""
        return judge(self.ledger.state, [self.world.metric], limits=self.limits, phase="live")

    def close(self, now_ms: int) -> None:
        """Close windows and look. The verdict itself is asked where a bet is newly won: nothing else can change it."""
        if not self.ledger.close(now_ms):
            return
        metric = self.ledger.state.phases["live"].metrics[self.world.metric.name]
        if self.rolled_back is None and metric.harm.peak >= self.limits.rollback:
            self.rolled_back = self.users if self.verdict().status == "failed" else None
        if self.promoted is None and metric.non_inferior.peak >= self.limits.promotion:
            self.promoted = self.users if self.verdict().metrics[0].passed else None

    @property
    def learning(self) -> bool:
        """Whether stable's cap is not known yet."""
        cap = self.ledger.state.caps.get(self.world.metric.name)
        return cap is not None and cap.value is None


def users(world: World, seed: int) -> Iterator[tuple[str, Arm, int, float]]:
    """Yield (user, arm, stage, progress of the ramp) as users arrive, assigned as in production."""
    expected = sum(stage.users / stage.weight for stage in world.stages)
    salt, arrived = f"{world.name}/{seed}", 0
    prefix = salted(salt)
    for index, stage in enumerate(world.stages):
        route = RolloutRoute(
            id="rol",
            candidate="c",
            salt=salt,
            stage=index,
            state="progressing",
            weight=stage.weight,
            control_weight=min(stage.weight, 1 - stage.weight),
        )
        met = 0
        while met < stage.users:
            arrived += 1
            user = f"user-{arrived}"
            arm, _ = arm_at(route, bucket_after(prefix, user))
            met += arm == "candidate"
            yield user, arm, index, min(1.0, arrived / expected)


def run(world: World, seed: int) -> Run:
    """Run one rollout to its end, or to its rollback where the world stops there."""
    source = random.Random(f"{world.name}/{seed}")
    book, now_ms = Book(world), 0
    naive = None if world.naive_margin is None else Naive(world.naive_margin)
    for user, arm, stage, progress in users(world, seed):
        if arm == "stable" and not world.everybody and not book.learning:
            continue
        outcome = world.candidate if arm == "candidate" else world.control
        level = outcome.of_user(source, progress)
        for request in range(world.requests):
            answer = outcome.answer(source, level)
            generation = msgspec.structs.replace(
                answer, id=f"{user}/{request}", at_ms=now_ms, arm=arm, unit=user, rollout="rol", stage=stage
            )
            book.ledger.add(generation, None, now_ms=now_ms)
            if naive is not None:
                side = "candidate" if arm == "candidate" else "control"
                naive.add(side, book.meter.measure(generation, None).value or 0.0, book.users)
        now_ms += WINDOW_MS
        book.close(now_ms)
        if world.stop and book.rolled_back is not None:
            break
    return Run(
        rolled_back=book.rolled_back,
        promoted=book.promoted,
        naive_harm=None if naive is None else naive.harm,
        naive_promotion=None if naive is None else naive.promotion,
        naive_harm_at_the_end=naive is not None and naive.look()[0],
        users=book.users,
    )
