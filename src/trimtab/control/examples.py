"""Generations that show what a verdict is about, found in the journals: the newest first, and no more than it takes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import islice
from typing import TYPE_CHECKING

import msgspec

from trimtab.analysis.evidence import Phase
from trimtab.analysis.model import MetricSpec
from trimtab.analysis.scorers import ScorerLibrary
from trimtab.analysis.verdict import Verdict
from trimtab.control.rollout_words import blamed, cause_of
from trimtab.control.shortlist import Pair, Shortlist
from trimtab.core.errors import InputError
from trimtab.events import Generation, Score, decode_event
from trimtab.releases.model import CompiledRelease
from trimtab.rollout.spec import decode_plan
from trimtab.serving.journal_backwards import read_backwards

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from trimtab.events import Event
    from trimtab.rollout.model import Rollout
    from trimtab.rollout.ports import ControlTransaction

__all__ = [
    "MOST_EVENTS",
    "ExampleFinder",
    "ExampleQuestion",
    "Examples",
    "PastEvents",
    "example_question",
    "read_examples",
]

MOST_EVENTS = 250_000
"""Events of any kind that are passed before the search ends, and as many again for scores."""
_LOOK_UP_EVERY = 256
_KEPT_MS = 10_000
_KEPT = 32
_PAST_MS = 3_600_000
"""Younger attempts are in journals whole: files need not be opened for them."""
_SLACK_MS = 60_000
"""Around the attempt: the clocks of processes differ."""
_ARMS: Mapping[Phase, tuple[bytes, bytes]] = {
    "live": (b"\xa3arm\xa9candidate", b"\xa3arm\xafmatched_control"),
    "shadow": (b"\xa3arm\xa6shadow", b"\xa3arm\xafmatched_control"),
}
"""How the arms of a phase stand in an encoded event (MessagePack), so that most events need not be decoded."""


PastEvents = Callable[[str, tuple[int, int]], "list[Event]"]
"""Id of a rollout, and from when to when -> its newest compared generations and their scores, from files."""


class ExampleQuestion(msgspec.Struct, frozen=True, kw_only=True):
    """What examples are wanted of."""

    rollout: str
    spec: MetricSpec
    phase: Phase
    shadow_stages: frozenset[int]
    since_ms: int
    until_ms: int
    releases: dict[str, CompiledRelease]
    """Stable and candidate by digest, as far as they are known."""
    captured: bool
    """Whether the feature captures content."""


class Examples(msgspec.Struct, frozen=True, kw_only=True):
    """Up to ten generations on each side."""

    metric: str
    """What they were chosen by: the metric that is blamed, else the weakest."""
    lower_is_better: bool
    phase: str
    pairs: list[Pair]
    """The candidate's worst first, each beside a control: the request that it mirrors, the same input, a similar one,
    or just a recent one."""
    looked_at: int
    """Generations of both arms that were looked at, the newest first."""
    complete: bool
    """Whether the search ended by itself, not at one of its limits."""
    note: str = ""
    """What a reader must know of them; empty where there is nothing."""


def example_question(tx: ControlTransaction, rollout: Rollout, *, now_ms: int) -> ExampleQuestion:
    """Return what examples show a rollout best: by its blamed metric, in the phase that it was blamed in."""
    plan = decode_plan(rollout.plan)
    verdict = msgspec.convert(rollout.verdict, Verdict) if rollout.verdict else None
    about = blamed(verdict)
    phase: Phase = "shadow" if rollout.stage in plan.shadow_stages else "live"
    if about is not None:
        phase = "shadow" if about.phase == "shadow" else "live"
    name = about.name if about is not None else ""
    if cause_of(rollout, verdict, tx.transitions(rollout.id)) == "withdrawn":
        name, phase = "error", "live"
    spec = next((metric for metric in plan.metrics if metric.name == name), None) or MetricSpec(name="error")
    found = [release for digest in (rollout.stable, rollout.candidate) if (release := tx.release(digest)) is not None]
    feature = tx.feature(rollout.feature)
    return ExampleQuestion(
        rollout=rollout.id,
        spec=spec,
        phase=phase,
        shadow_stages=plan.shadow_stages,
        since_ms=rollout.created_at_ms,
        until_ms=now_ms if rollout.ended_at_ms is None else rollout.ended_at_ms,
        releases={release.digest: release.compiled for release in found},
        captured=feature is None or feature.capture_content,
    )


def read_examples(journals: Path, question: ExampleQuestion, *, past: PastEvents | None = None) -> Examples:
    """Return examples of both arms from the journals of this machine, and from `past` where those do not suffice.

    Reads the newest events first and stops as soon as ten units of the candidate have a measurement that cannot be
    worse and enough controls are at hand, or after `MOST_LOOKED_AT` generations of the arms or `MOST_EVENTS` events.
    """
    scores: dict[str, float] = {}
    shortlist = Shortlist(question.spec, _measure(journals, question, scores), phase=question.phase)
    choose = _chooser(question)
    records = _records(journals, question)
    satisfied = False
    for record in islice(records, MOST_EVENTS):
        generation = choose(bytes(record))
        if generation is not None:
            shortlist.take(generation)
            if shortlist.looked_at % _LOOK_UP_EVERY == 0 and shortlist.enough:
                satisfied = True
                break
    if past is not None and shortlist.wants_more:
        _take_past(past, question, shortlist, scores)
    pairs = shortlist.choose()
    complete = not shortlist.exhausted and (satisfied or next(records, None) is None)
    return Examples(
        metric=question.spec.name,
        lower_is_better=question.spec.lower_is_better,
        phase=question.phase,
        pairs=pairs,
        looked_at=shortlist.looked_at,
        complete=complete,
        note=_note(question, pairs, shortlist.looked_at, complete=complete),
    )


def _take_past(past: PastEvents, question: ExampleQuestion, shortlist: Shortlist, scores: dict[str, float]) -> None:
    events = past(question.rollout, (question.since_ms - _SLACK_MS, question.until_ms + _SLACK_MS))
    for event in events:
        if isinstance(event, Score) and event.name == question.spec.name:
            scores.setdefault(event.generation, event.value)
    for event in events:
        if isinstance(event, Generation) and _is_compared(event, question):
            shortlist.take(event)


def _is_compared(generation: Generation, question: ExampleQuestion) -> bool:
    """Return whether a generation is of the attempt and phase, and of one of the two arms."""
    if generation.rollout != question.rollout or generation.arm == "stable":
        return False
    return (generation.stage in question.shadow_stages) is (question.phase == "shadow")


class ExampleFinder:
    """Finds examples and keeps them for ten seconds: a page open on many screens costs one search. Thread-safe."""

    def __init__(self, journals: Path, past: PastEvents | None = None) -> None:
        """`past` is asked where journals hold less than a full list, as those of old attempts do."""
        self._journals = journals
        self._past = past
        self._lock = threading.Lock()
        self._kept: dict[tuple[str, str, Phase], tuple[int, Examples]] = {}

    def find(self, question: ExampleQuestion, *, now_ms: int) -> Examples:
        """Return examples that are at most ten seconds old."""
        key = (question.rollout, question.spec.name, question.phase)
        with self._lock:
            found_ms, found = self._kept.get(key, (0, None))
            if found is not None and abs(now_ms - found_ms) < _KEPT_MS:
                return found
            past = self._past if now_ms - question.since_ms >= _PAST_MS else None
            found = read_examples(self._journals, question, past=past)
            self._kept.pop(key, None)
            if len(self._kept) >= _KEPT:
                del self._kept[next(iter(self._kept))]
            self._kept[key] = (now_ms, found)
            return found


def _records(journals: Path, question: ExampleQuestion, writers: str = "") -> Iterator[memoryview]:
    since_ms, until_ms = question.since_ms - _SLACK_MS, question.until_ms + _SLACK_MS
    return read_backwards(journals, since_ms=since_ms, until_ms=until_ms, writers=writers)


def _chooser(question: ExampleQuestion) -> Callable[[bytes], Generation | None]:
    """Return what tells whether a record is a generation of the attempt and phase, and of one of the two arms.

    Most records are not, so they are told by a look for the arm's bytes, without being decoded.
    """
    candidate, control = _ARMS[question.phase]
    attempt = question.rollout.encode()

    def choose(data: bytes) -> Generation | None:
        if (candidate not in data and control not in data) or attempt not in data:
            return None
        try:
            event = decode_event(data)
        except msgspec.DecodeError:
            return None
        return event if isinstance(event, Generation) and _is_compared(event, question) else None

    return choose


def _measure(
    journals: Path, question: ExampleQuestion, scores: dict[str, float]
) -> Callable[[Generation], float | None]:
    """Return the metric. What a Python function said is read into `scores`, as the controller wrote it; none is run."""
    spec, releases = question.spec, question.releases
    if spec.scorer is not None and spec.scorer.python is not None:
        scores.update(_scores(journals, question))
        return lambda generation: scores.get(generation.id)
    try:
        meters = ScorerLibrary().meters([spec])
    except InputError:  # a rule that this version no longer takes: examples are shown without a measurement
        meters = []
    if not meters:  # told afterwards, or of both arms' texts: nothing is measured of one generation
        return lambda _generation: None
    meter = meters[0]
    return lambda generation: meter.measure(generation, releases.get(generation.release)).value


def _scores(journals: Path, question: ExampleQuestion) -> dict[str, float]:
    mark = f"score_{question.spec.name}_".encode()
    found: dict[str, float] = {}
    for record in islice(_records(journals, question, "controller-"), MOST_EVENTS):
        data = bytes(record)
        if mark not in data:
            continue
        try:
            event = decode_event(data)
        except msgspec.DecodeError:
            continue
        if isinstance(event, Score) and event.name == question.spec.name:
            found.setdefault(event.generation, event.value)
    return found


def _note(question: ExampleQuestion, pairs: list[Pair], looked_at: int, *, complete: bool) -> str:
    shown = [example for pair in pairs for example in (pair.candidate, pair.control) if example is not None]
    notes = []
    if not shown:
        notes.append("No generation of either arm is recorded on this machine, or what was is deleted since.")
    elif not any(example.captured for example in shown):
        why = "the feature does not capture content" if not question.captured else "no content was kept of them"
        notes.append(f"Prompts and answers cannot be shown: {why}.")
    if not any(example.value is not None for example in shown) and shown:
        notes.append(f"`{question.spec.name}` was measured on none of them, so they are simply the newest.")
    if not complete:
        notes.append(f"Only the newest {looked_at:,} generations of both arms were looked through.")
    return " ".join(notes)
