"""The questions that people ask of evidence, each one SQL statement over what the reader shows.

Feedback and scores lie in the hour of the generation they are about, so a question about an hour opens that hour only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import msgspec

from trimtab.core.errors import InputError
from trimtab.core.ids import id_time_ms
from trimtab.events import Generation
from trimtab.evidence.layout import Span, partition_at
from trimtab.evidence.reader import rows, run
from trimtab.evidence.rows import event_from_row
from trimtab.evidence.statements import COMPARED, COMPARED_SCORES, FAILED, METRICS, MINUTES, POOR, SIGNAL, TRENDS
from trimtab.evidence.summaries import summary_query
from trimtab.evidence.tables import KINDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from duckdb import DuckDBPyConnection

    from trimtab.events import Event
    from trimtab.evidence.reader import EvidenceReader
    from trimtab.evidence.snapshot import Snapshot

__all__ = [
    "Bucket",
    "Failure",
    "Filter",
    "ReleaseMetrics",
    "SignalMean",
    "TrendPoint",
    "extract",
    "failing",
    "of_rollout",
    "release_metrics",
    "signals",
    "trace",
    "trends",
]

Bucket = Literal["minute", "hour", "day"]
_BATCH = 1_000
_MIRRORED_WITHIN_MS = 10 * 60_000
"""How much later than the generation it mirrors a shadow begins, at most."""
_HELD_TEXTS = 10_000
"""Generations that are held in memory with their text, some 50 MB."""
_ROWS_AS_OBJECTS = 500


class SignalMean(msgspec.Struct, frozen=True):
    """What a score or a kind of feedback says on average."""

    mean: float
    generations: int
    """That have it: of several about one generation the newest counts."""


class ReleaseMetrics(msgspec.Struct, frozen=True, kw_only=True):
    """What one release did in one role."""

    release: str
    """`feature#number`."""
    digest: str
    arm: str
    requests: int
    error_rate: float
    aborted: int
    latency_p50_ms: float | None
    """Of answers that were complete."""
    latency_p95_ms: float | None
    first_token_p50_ms: float | None
    input_tokens: int
    output_tokens: int
    cost_usd: float
    feedback: dict[str, SignalMean] = {}
    """By name, however late it came."""
    scores: dict[str, SignalMean] = {}


class TrendPoint(msgspec.Struct, frozen=True, kw_only=True):
    """One release in one stretch of time."""

    at_ms: int
    """Where it begins."""
    release: str
    requests: int
    error_rate: float
    latency_p95_ms: float | None
    """Of answers that were complete, within 1 %."""
    cost_usd: float


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """A generation that failed, and by what measure."""

    generation: Generation
    why: str


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """Which generations; empty fields ask for nothing."""

    feature: str = ""
    environment: str = ""
    release_number: int | None = None
    arm: str = ""
    status: str = ""
    served_model: str = ""
    unit: str = ""
    span: Span
    """When they began."""

    def where(self) -> tuple[str, dict[str, Any]]:
        """Return the condition over `g` and its parameters."""
        terms = [
            "g.began_at >= make_timestamptz($since::BIGINT * 1000)",
            "g.began_at < make_timestamptz($until::BIGINT * 1000)",
        ]
        which, parameters = self.which()
        return " AND ".join([*terms, which]), {"since": self.span[0], "until": self.span[1], **parameters}

    def which(self) -> tuple[str, dict[str, Any]]:
        """Return the condition without the time, and its parameters."""
        names = ("feature", "environment", "release_number", "arm", "status", "served_model", "unit")
        asked = {name: value for name in names if (value := getattr(self, name)) not in {"", None}}
        return " AND ".join(f"g.{name} = ${name}" for name in asked) or "true", asked


def release_metrics(reader: EvidenceReader, which: Filter) -> list[ReleaseMetrics]:
    """Return what each release did, in each arm, newest release first."""
    where, parameters = which.where()

    def ask(snapshot: Snapshot, cursor: DuckDBPyConnection) -> list[dict[str, Any]]:
        tables = {
            kind: reader.table(cursor, kind, snapshot.files(kind, which.span), snapshot.hot.get(kind))
            for kind in ("generations", "scores", "feedback")
        }
        return rows(cursor, METRICS.format(where=where, **tables), parameters)

    return [
        ReleaseMetrics(feedback=_means(said, "feedback"), scores=_means(said, "scores"), **row)
        for row in reader.at_one_moment(ask, span=which.span)
        for said in [row.pop("signals") or []]
    ]


def _means(said: list[dict[str, Any]], kind: str) -> dict[str, SignalMean]:
    return {one["name"]: SignalMean(one["mean"], one["generations"]) for one in said if one["kind"] == kind}


def trends(reader: EvidenceReader, which: Filter, *, bucket: Bucket = "hour") -> list[TrendPoint]:
    """Return how each release did over time, oldest first.

    Hours that were merged are answered from their summaries, others from their calls, to the same result.
    """
    where, parameters = which.where()
    summed = bucket != "minute" and not which.unit
    stretch = "hour" if summed else bucket

    def ask(snapshot: Snapshot, cursor: DuckDBPyConnection) -> list[dict[str, Any]]:
        files = snapshot.files("generations", which.span)
        since_ms, until_ms = which.span
        whole = {
            file.key: file.summary
            for file in files
            if summed and file.summary and since_ms <= file.oldest_ms and file.newest_ms < until_ms
        }
        left = [file for file in files if file.key not in whole]
        calls = reader.table(cursor, "generations", left, snapshot.hot.get("generations"))
        parts = [summary_query(calls, where=where, stretch=stretch)]
        if whole:
            summaries = reader.summaries(cursor, list(whole.values()))
            parts.append(f"SELECT * FROM {summaries} g WHERE {which.which()[0]}")  # noqa: S608 - a condition of ours
        return rows(cursor, TRENDS.format(counted=" UNION ALL ".join(parts), bucket=bucket), parameters)

    return [TrendPoint(**row) for row in reader.at_one_moment(ask, span=which.span)]


def trace(reader: EvidenceReader, generation: str) -> list[Event]:
    """Return a generation, what mirrors it, and all that was said about it; raises `InputError` for what is no id."""
    at_ms = id_time_ms(generation)
    hour = partition_at("", at_ms)
    span = (hour.hour_ms, max(hour.end_ms, at_ms + _MIRRORED_WITHIN_MS))
    asked = [
        (kind, f"SELECT * FROM {kind} WHERE {name} = $id ORDER BY began_at")  # noqa: S608 - names of ours
        for kind in KINDS
        for name in ("id", "mirrors", "generation")
        if name in KINDS[kind].__struct_fields__ and (name == "id") != ("generation" in KINDS[kind].__struct_fields__)
    ]

    def ask(snapshot: Snapshot, cursor: DuckDBPyConnection) -> list[Event]:
        found: list[Event] = []
        for kind, sql in asked:
            files, hot = snapshot.files(kind, span), snapshot.hot.get(kind)
            if files or hot is not None:
                reader.define(cursor, kind, files, hot)
                found += [event_from_row(kind, row) for row in run(cursor, sql, {"id": generation}).to_pylist()]
        return found

    return reader.at_one_moment(ask, span=span)


def of_rollout(reader: EvidenceReader, rollout: str, span: Span, *, limit: int = 2_500) -> list[Event]:
    """Return the newest generations of a rollout that were compared, with their text, and the scores they were given.

    At most `limit` of each arm, the newest first.
    """
    parameters: dict[str, Any] = {"rollout": rollout, "since": span[0], "until": span[1], "limit": limit}
    rows = reader.query(COMPARED, parameters, hours=span).to_pylist()
    found = [event_from_row("generations", row) for row in rows]
    scored = reader.query(COMPARED_SCORES, parameters, hours=span).to_pylist()
    return found + [event_from_row("scores", row) for row in scored]


def failing(reader: EvidenceReader, which: Filter, *, by: str = "error", limit: int = 20) -> list[Failure]:
    """Return the newest generations that failed, with their text.

    `by` is `error`, or the name of a score or feedback: those below one half, worst first.
    """
    if not 0 < limit <= _BATCH:
        raise InputError("invalid_limit", f"a limit of {limit} is not between 1 and {_BATCH}", param="limit")
    where, parameters = which.where()
    if by == "error":
        chosen = FAILED.format(where=where)
    else:
        chosen = POOR.format(where=where)
        parameters["name"] = by
    rows = reader.query(chosen, {**parameters, "limit": limit}, hours=which.span).to_pylist()
    why = {row["id"]: row["why"] for row in rows}
    found = {event.id: event for event in _whole(reader, which, rows)}
    return [Failure(generation=found[key], why=text) for key, text in why.items() if key in found]


def extract(reader: EvidenceReader, which: Filter, *, limit: int | None = None) -> Iterator[Generation]:
    """Yield the generations that a filter names, oldest first, with their text: the raw material of a dataset.

    Read some ten thousand at a time, so that memory stays bounded however many there are.
    """
    left = limit
    for span in _stretches(reader, which, limit):
        where, parameters = msgspec.structs.replace(which, span=span).where()
        bound = "" if left is None else f"LIMIT {int(left)}"
        sql = f"SELECT * FROM generations g WHERE {where} ORDER BY g.began_at, g.id {bound}"  # noqa: S608 - parts of ours
        found = reader.queries([sql], parameters, span=span, kinds=("generations",))[0]
        for batch in found.to_batches(max_chunksize=_ROWS_AS_OBJECTS):
            yield from _generations(batch.to_pylist())
        if left is not None:
            left -= found.num_rows
            if left <= 0:
                return


def _stretches(reader: EvidenceReader, which: Filter, limit: int | None) -> Iterator[Span]:
    """Yield spans that make up the filter's, each with about as many generations as may be held in memory."""
    where, parameters = which.where()
    rows = reader.queries([MINUTES.format(where=where)], parameters, span=which.span, kinds=("generations",))[0]
    most = _HELD_TEXTS if limit is None else min(limit, _HELD_TEXTS)
    since_ms = which.span[0]
    held = 0
    for row in rows.to_pylist():
        held += row["calls"]
        if held >= most:
            until_ms = min(row["at_ms"] + 60_000, which.span[1])
            yield since_ms, until_ms
            since_ms, held = until_ms, 0
    if held:
        yield since_ms, which.span[1]


def signals(reader: EvidenceReader, which: Filter, *, name: str) -> dict[str, float]:
    """Return the newest feedback or score of this name by generation, of the generations that a filter names."""
    where, parameters = which.where()
    rows = reader.query(SIGNAL.format(where=where), {**parameters, "name": name}, hours=which.span).to_pylist()
    return {row["generation"]: row["value"] for row in rows}


def _whole(reader: EvidenceReader, which: Filter, rows: list[dict[str, Any]]) -> Iterator[Generation]:
    """Yield generations of a filter by the `id` and `at_ms` in rows: text is read for those alone."""
    if not rows:
        return
    times = [row["at_ms"] for row in rows]
    span = (min(times), max(times) + 1)
    where, parameters = msgspec.structs.replace(which, span=span).where()
    sql = f"SELECT * FROM generations g WHERE {where} AND g.id IN (SELECT unnest($ids::VARCHAR[]))"  # noqa: S608 - parts of ours
    parameters["ids"] = [row["id"] for row in rows]
    found = reader.queries([sql], parameters, span=span, kinds=("generations",))[0]
    yield from _generations(found.to_pylist())


def _generations(rows: list[dict[str, Any]]) -> Iterator[Generation]:
    events = (event_from_row("generations", row) for row in rows)
    yield from (event for event in events if isinstance(event, Generation))
