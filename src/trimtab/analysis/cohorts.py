"""Delayed words: what users, judges and people say of an answer hours after it was given.

A unit is followed from its first live generation. Whatever is told of its generations until `within` after its window
closed counts, and only then is it one observation: the mean of the last words said of each generation, or what the
plan says of units of which nothing came. No unit counts sooner, whatever came already: those who are content say so
at once, those who are not come back the next day, and pending is not zero.

Units are followed in the order in which they came, as many at a time as the state has room for. Who is turned away
depends on how many are followed and on nothing that an arm does.
"""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING, NamedTuple

from trimtab.analysis.evidence import Cohort
from trimtab.analysis.judging import count_judged
from trimtab.analysis.segments import add_unit
from trimtab.events.model import subject_time_ms

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from trimtab.analysis.evidence import EvidenceState, Side, Signal, Window
    from trimtab.analysis.experiment_ledger import ExperimentLedger
    from trimtab.analysis.model import MetricSpec
    from trimtab.events import Feedback, Score

__all__ = ["MAX_FOLLOWED", "Cohorts"]

MAX_FOLLOWED = 4_000
"""Units at a time; some 100 bytes each in the stored evidence."""
_MAX_GENERATIONS = 20
"""Of one unit; what is said of later ones is not heard."""
_LATENESS_MS = 120_000
"""How long an event may take from the process that wrote it to here."""
_MAX_EARLY = 1_000
_MAX_EARLY_EACH = 20
_EARLY_MS = 600_000
_OWN_SCORES = "scorer:"
"""Source of the scores that the controller writes itself, of metrics that have a scorer."""


class _Channel(NamedTuple):
    """A kind of words that a metric listens to."""

    name: str
    """Of the feedback or score, as it is sent."""
    key: str
    """Under which a cohort keeps it."""
    spec: MetricSpec


def _label_key(spec: MetricSpec) -> str:
    """Return the key of people's labels; no metric can have such a name."""
    return f"{spec.name}:label"


def _channels(spec: MetricSpec) -> Iterator[_Channel]:
    if spec.feedback is not None:
        yield _Channel(spec.feedback.name, spec.name, spec)
    if spec.judge is not None:
        yield _Channel(spec.judge.score, spec.name, spec)
        yield _Channel(spec.judge.label, _label_key(spec), spec)


class Cohorts:
    """The units of one attempt that are followed, and the metrics that are told of them."""

    def __init__(
        self, state: EvidenceState, specs: Sequence[MetricSpec], *, window_ms: int, experiments: ExperimentLedger
    ) -> None:
        self._state = state
        self._experiments = experiments
        self._told = [spec for spec in specs if spec.within is not None]
        self._channels = {channel.key: channel for spec in self._told for channel in _channels(spec)}
        self._window_ms = window_ms
        self._owner = {
            generation: key for key, cohort in state.following.cohorts.items() for generation in cohort.generations
        }

    def open(self, key: str, window: Window, side: Side) -> None:
        """Follow a live unit whose first window opened."""
        following = self._state.following
        if not self._told:
            return
        if len(following.cohorts) >= MAX_FOLLOWED:
            following.turned_away += 1
            return
        following.cohorts[key] = Cohort(
            side,
            window.stage,
            window.opened_ms,
            [spec.name for spec in self._told],
            dict(window.segments),
            challenger=window.challenger,
            fresh=window.fresh,
        )

    def note(self, key: str, generation_id: str) -> None:
        """Remember a generation of a unit, if that is followed, and hear what was said of it already."""
        cohort = self._state.following.cohorts.get(key)
        if cohort is None or len(cohort.generations) >= _MAX_GENERATIONS:
            return
        short = _short(generation_id)
        cohort.generations.append(short)
        self._owner[short] = key
        for key_told, signal in self._state.following.early.pop(short, []):
            self._hear(cohort, key_told, short, signal)

    def tell(self, event: Feedback | Score, *, now_ms: int) -> bool:
        """Take what somebody said of a generation, followed or not; returns whether it changed the evidence."""
        keys = [channel.key for channel in self._channels.values() if channel.name == event.name]
        if not keys or getattr(event, "source", "").startswith(_OWN_SCORES):
            return False
        short = _short(event.generation)
        signal = (event.at_ms, event.id, event.value)
        cohort = self._state.following.cohorts.get(self._owner.get(short, ""))
        if cohort is not None:
            heard = [self._hear(cohort, key, short, signal) for key in keys]
            return any(heard)
        if now_ms - subject_time_ms(event) >= _EARLY_MS:
            return False  # its generation was read long ago, and is not followed
        early = self._state.following.early
        known = early.setdefault(short, [])
        fresh = [(key, signal) for key in keys if (key, signal) not in known]
        early[short] = (known + fresh)[-_MAX_EARLY_EACH:]
        while len(early) > _MAX_EARLY:
            del early[next(iter(early))]
        return bool(fresh)

    def _hear(self, cohort: Cohort, key: str, generation: str, signal: Signal) -> bool:
        channel = self._channels.get(key)
        if channel is None:
            return False
        spec = channel.spec
        in_time = signal[0] < cohort.opened_ms + self._window_ms + spec.within_ms
        said = cohort.signals.get(key, {})
        if spec.name not in cohort.waiting or not in_time or said.get(generation) == signal:
            return False
        if self._fits(spec, signal[2]):
            _keep_last(cohort.signals.setdefault(key, {}), generation, signal)
        return True

    def _fits(self, spec: MetricSpec, value: float) -> bool:
        """Whether a value is what the metric is of; what is not is counted, as of a scorer that fails."""
        if spec.kind == "binary":
            wrong = "" if value in {0.0, 1.0} else "neither 0 nor 1"
        else:
            wrong = "" if value >= 0.0 and (spec.cap or value <= 1.0) else "not between 0 and 1"
        state, name = self._state, spec.name
        state.scored[name] = state.scored.get(name, 0) + 1
        if wrong:
            state.scorer_errors[name] = state.scorer_errors.get(name, 0) + 1
            state.last_scorer_error[name] = f"a value of {value:g}, which is {wrong}"
        return not wrong

    def close(self, now_ms: int) -> bool:
        """Count the units whose time is over at `now_ms`; returns whether there were any."""
        following = self._state.following
        due: list[tuple[int, str, int]] = []
        for index, spec in enumerate(self._told):
            within_ms = spec.within_ms
            last_ms = now_ms - self._window_ms - within_ms - _LATENESS_MS
            due += [
                (cohort.opened_ms + within_ms, key, index)
                for key, cohort in following.cohorts.items()
                if cohort.opened_ms <= last_ms and spec.name in cohort.waiting
            ]
        for _, key, index in sorted(due):
            self._count(key, self._told[index])
        too_old_ms = now_ms - _EARLY_MS
        for short in [one for one, said in following.early.items() if max(at[0] for _, at in said) < too_old_ms]:
            del following.early[short]
        return bool(due)

    def _count(self, key: str, spec: MetricSpec) -> None:
        cohort = self._state.following.cohorts[key]
        cohort.waiting.remove(spec.name)
        score = _mean(cohort.signals.pop(spec.name, {}), spec)
        if spec.judge is not None:
            label = _mean(cohort.signals.pop(_label_key(spec), {}), spec)
            if not cohort.challenger:
                count_judged(self._state, spec, side=cohort.side, stage=cohort.stage, judge=score, human=label)
        elif score is not None:
            self._count_told(cohort, spec, score)
        if not cohort.waiting:
            for generation in cohort.generations:
                self._owner.pop(generation, None)
            del self._state.following.cohorts[key]

    def _count_told(self, cohort: Cohort, spec: MetricSpec, score: float) -> None:
        if not cohort.challenger:
            self._state.phases["live"].metrics[spec.name].add_unit(cohort.side, score, cohort.stage)
        self._experiments.tell(cohort, spec.name, score)
        add_unit(self._state, cohort.segments, [spec], {spec.name: score}, side=cohort.side, stage=cohort.stage)


def _mean(signals: Mapping[str, Signal], spec: MetricSpec) -> float | None:
    """Return a unit's score in [0, 1], higher is better; `None` where nothing was said, and that counts as nothing."""
    said = [value for _, _, value in signals.values()]
    if not said and spec.feedback is not None and spec.feedback.absent != "ignore":
        said = [float(spec.feedback.absent)]
    if not said:
        return None
    top = spec.cap or 1.0
    score = math.fsum(min(value, top) for value in said) / len(said) / top  # exact, whatever their order
    return 1.0 - score if spec.lower_is_better else score


def _short(generation_id: str) -> str:
    return hashlib.blake2b(generation_id.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def _keep_last(said: dict[str, Signal], key: str, signal: Signal) -> None:
    said[key] = max(said.get(key, signal), signal)
