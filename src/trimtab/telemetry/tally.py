"""What journals tell of traffic, counted up: a value that is kept in a file beside the cursors up to which it counts.

Counts and cursors are replaced together, so every event counts once, however often whoever counts is killed.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

import msgspec

from trimtab.serving.journal_reader import JournalPosition
from trimtab.telemetry.seen import SeenExposure, SeenFeedback, SeenGeneration, SeenScore, SeenWithdrawal, read_seen

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trimtab.serving.process_status import ProcessStatus

__all__ = ["BOUNDS_SECONDS", "MOST_SERIES", "OTHER", "Series", "Tally", "TallyCounter"]

BOUNDS_SECONDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
"""Upper bounds of buckets: those of OpenTelemetry's `gen_ai.client.operation.duration`."""
MOST_SERIES = 1_000
"""Of releases and arms; when there are more, those that had no traffic for longest go first."""
_MOST_WORDS = 500
"""Of errors' codes, and of names of scores and feedback, for these come from outside."""
OTHER = "(other)"
_BUCKETS = len(BOUNDS_SECONDS) + 1


class Series(msgspec.Struct):
    """What one arm of one release did."""

    environment: str
    feature: str
    release: str
    """`feature#number`; empty where no release is known."""
    arm: str
    last_ms: int = 0
    requests: dict[str, int] = {}
    """By status."""
    seconds: list[int] = msgspec.field(default_factory=lambda: [0] * _BUCKETS)
    """Requests by latency; the last for those above every bound."""
    seconds_total: float = 0.0
    first_token: list[int] = msgspec.field(default_factory=lambda: [0] * _BUCKETS)
    """Of streams."""
    first_token_total: float = 0.0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0
    retries: int = 0
    fallbacks: int = 0
    exposures: int = 0


class Said(msgspec.Struct):
    """How often something with a name happened to a feature."""

    environment: str
    feature: str
    name: str
    count: int = 0


class Writer(msgspec.Struct):
    """What the processes of one kind made of their events, since counting began."""

    environment: str
    kind: str
    recorded: int = 0
    dropped: int = 0


class Known(msgspec.Struct, frozen=True):
    """What a process's own counters stood at when they were last looked at."""

    recorded: int = 0
    dropped: int = 0
    at_ms: int = 0


class Tally(msgspec.Struct):
    """All that is counted."""

    version: int = 1
    cursors: dict[str, JournalPosition] = {}
    at_ms: int = 0
    """When it was last brought up to date."""
    series: list[Series] = []
    errors: list[Said] = []
    """By code."""
    feedback: list[Said] = []
    scores: list[Said] = []
    withdrawals: list[Said] = []
    content_dropped: list[Said] = []
    """Events kept without what people wrote, by why."""
    writers: list[Writer] = []
    known: dict[str, Known] = {}
    """By process."""
    damaged: int = 0
    missing: int = 0
    """Events that could not be counted, for they are nowhere."""


class TallyCounter:
    """Counts into a tally."""

    def __init__(self, tally: Tally) -> None:
        self.tally = tally
        self._series = {(one.environment, one.feature, one.release, one.arm): one for one in tally.series}
        self._said = {
            kind: {(one.environment, one.feature, one.name): one for one in found} for kind, found in self._words()
        }
        self._writers = {(one.environment, one.kind): one for one in tally.writers}

    def _words(self) -> list[tuple[str, list[Said]]]:
        tally = self.tally
        return [
            ("error", tally.errors),
            ("feedback", tally.feedback),
            ("score", tally.scores),
            ("withdrawal", tally.withdrawals),
            ("content_dropped", tally.content_dropped),
        ]

    def count(self, record: bytes | memoryview) -> bool:
        """Count one event of a journal; returns whether it could be read."""
        seen = read_seen(record)
        match seen:
            case SeenGeneration():
                self._generation(seen)
            case SeenExposure():
                series = self._find(seen.environment, seen.feature, seen.release_number, seen.arm)
                series.exposures += 1
                series.last_ms = seen.at_ms
            case SeenScore():
                self._say("score", seen.environment, seen.feature, seen.name)
            case SeenFeedback():
                self._say("feedback", seen.environment, seen.feature, seen.name)
            case SeenWithdrawal():
                self._say("withdrawal", seen.environment, seen.feature, "")
        if isinstance(seen, SeenGeneration | SeenScore | SeenFeedback) and seen.content_dropped:
            self._say("content_dropped", seen.environment, seen.feature, seen.content_dropped)
        return seen is not None

    def observe(self, statuses: Iterable[ProcessStatus], *, now_ms: int, forget_ms: int) -> None:
        """Add what processes counted themselves since they were last looked at.

        Those that were not seen for `forget_ms` milliseconds are forgotten; what they counted stays.
        """
        known = self.tally.known
        for status in statuses:
            before = known.get(status.process, Known())
            key = (status.environment, status.kind)
            writer = self._writers.get(key)
            if writer is None:
                writer = self._writers[key] = Writer(*key)
                self.tally.writers.append(writer)
            writer.recorded += max(0, status.recorded - before.recorded)
            writer.dropped += max(0, status.dropped - before.dropped)
            known[status.process] = Known(status.recorded, status.dropped, now_ms)
        for process in [name for name, one in known.items() if now_ms - one.at_ms > forget_ms]:
            del known[process]

    def _generation(self, seen: SeenGeneration) -> None:
        series = self._find(seen.environment, seen.feature, seen.release_number, seen.arm)
        series.last_ms = seen.at_ms
        series.requests[seen.status] = series.requests.get(seen.status, 0) + 1
        seconds = seen.latency_ms / 1000
        series.seconds[bisect_left(BOUNDS_SECONDS, seconds)] += 1
        series.seconds_total += seconds
        if seen.stream and seen.first_token_ms:
            seconds = seen.first_token_ms / 1000
            series.first_token[bisect_left(BOUNDS_SECONDS, seconds)] += 1
            series.first_token_total += seconds
        series.input_tokens += seen.input_tokens
        series.output_tokens += seen.output_tokens
        series.cost_usd += seen.cost_usd
        series.retries += max(0, seen.attempts - 1)
        series.fallbacks += seen.fallback > 0
        if seen.error_code:
            self._say("error", seen.environment, seen.feature, seen.error_code)

    def _find(self, environment: str, feature: str, number: int, arm: str) -> Series:
        key = (environment, feature, f"{feature}#{number}" if number else "", arm)
        series = self._series.get(key)
        if series is None:
            if len(self._series) >= MOST_SERIES:
                self._drop_oldest()
            series = self._series[key] = Series(*key)
            self.tally.series.append(series)
        return series

    def _drop_oldest(self) -> None:
        """Make room for more than one at a time, for this looks at all of them."""
        kept = sorted(self.tally.series, key=lambda one: one.last_ms)[MOST_SERIES // 10 :]
        self.tally.series[:] = kept
        self._series = {(one.environment, one.feature, one.release, one.arm): one for one in kept}

    def _say(self, kind: str, environment: str, feature: str, name: str) -> None:
        known = self._said[kind]
        key = (environment, feature, name)
        if key not in known and len(known) >= _MOST_WORDS:
            key = (environment, OTHER, OTHER)
        said = known.get(key)
        if said is None:
            said = known[key] = Said(*key)
            dict(self._words())[kind].append(said)
        said.count += 1
