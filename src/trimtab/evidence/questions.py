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
from trimtab.evidence.reader import run
from trimtab.evidence.rows import event_from_row
from trimtab.evidence.summaries import LATENCY_OF_BUCKET, summary_query
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
_JUDGED = ("generations", "scores", "feedback")


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
    rows, signals = (
        found.to_pylist()
        for found in reader.queries(
            [_METRICS.format(where=where), _SIGNALS.format(where=where)], parameters, span=which.span, kinds=_JUDGED
        )
    )
    means: dict[tuple[str, str, str], dict[str, SignalMean]] = {}
    for row in signals:
        by_name = means.setdefault((row["kind"], row["digest"], row["arm"]), {})
        by_name[row["name"]] = SignalMean(row["mean"], row["generations"])
    return [
        ReleaseMetrics(
            **row,
            feedback=means.get(("feedback", row["digest"], row["arm"]), {}),
            scores=means.get(("scores", row["digest"], row["arm"]), {}),
        )
        for row in rows
    ]


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
        reader.define(cursor, "generations", left, snapshot.hot.get("generations"))
        parts = [summary_query("generations", where=where, stretch=stretch)]
        if whole:
            reader.define_summaries(cursor, list(whole.values()))
            parts.append(f"SELECT * FROM summaries g WHERE {which.which()[0]}")  # noqa: S608 - a condition of ours
        counted = " UNION ALL ".join(parts)
        rows: list[dict[str, Any]] = run(cursor, _TRENDS.format(counted=counted, bucket=bucket), parameters).to_pylist()
        return rows

    return [TrendPoint(**row) for row in reader.at_one_moment(ask)]


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

    return reader.at_one_moment(ask)


def of_rollout(reader: EvidenceReader, rollout: str, span: Span, *, limit: int = 2_500) -> list[Event]:
    """Return the newest generations of a rollout that were compared, with their text, and the scores they were given.

    At most `limit` of each arm, the newest first.
    """
    parameters: dict[str, Any] = {"rollout": rollout, "since": span[0], "until": span[1], "limit": limit}
    rows = reader.query(_COMPARED, parameters, hours=span).to_pylist()
    found = [event_from_row("generations", row) for row in rows]
    scored = reader.query(_COMPARED_SCORES, parameters, hours=span).to_pylist()
    return found + [event_from_row("scores", row) for row in scored]


def failing(reader: EvidenceReader, which: Filter, *, by: str = "error", limit: int = 20) -> list[Failure]:
    """Return the newest generations that failed, with their text.

    `by` is `error`, or the name of a score or feedback: those below one half, worst first.
    """
    if not 0 < limit <= _BATCH:
        raise InputError("invalid_limit", f"a limit of {limit} is not between 1 and {_BATCH}", param="limit")
    where, parameters = which.where()
    if by == "error":
        chosen = _FAILED.format(where=where)
    else:
        chosen = _POOR.format(where=where)
        parameters["name"] = by
    rows = reader.query(chosen, {**parameters, "limit": limit}, hours=which.span).to_pylist()
    why = {row["id"]: row["why"] for row in rows}
    found = {event.id: event for event in _whole(reader, list(why))}
    return [Failure(generation=found[key], why=text) for key, text in why.items() if key in found]


def extract(reader: EvidenceReader, which: Filter, *, limit: int | None = None) -> Iterator[Generation]:
    """Yield the generations that a filter names, oldest first, with their text: the raw material of a dataset."""
    where, parameters = which.where()
    bound = "" if limit is None else f"LIMIT {int(limit)}"
    sql = f"SELECT g.id FROM generations g WHERE {where} ORDER BY g.began_at, g.id {bound}"  # noqa: S608 - parts of ours
    ids = reader.query(sql, parameters, hours=which.span).column("id").to_pylist()
    for start in range(0, len(ids), _BATCH):
        yield from _whole(reader, ids[start : start + _BATCH])


def signals(reader: EvidenceReader, which: Filter, *, name: str) -> dict[str, float]:
    """Return the newest feedback or score of this name by generation, of the generations that a filter names."""
    where, parameters = which.where()
    rows = reader.query(_SIGNAL.format(where=where), {**parameters, "name": name}, hours=which.span).to_pylist()
    return {row["generation"]: row["value"] for row in rows}


def _whole(reader: EvidenceReader, ids: list[str]) -> Iterator[Generation]:
    """Yield generations by their ids, in that order: text is read for those alone."""
    if not ids:
        return
    times = [id_time_ms(one) for one in ids]
    hours = (partition_at("", min(times)).hour_ms, partition_at("", max(times)).end_ms)
    marks = ", ".join(f"$i{number}" for number in range(len(ids)))
    sql = f"SELECT * FROM generations WHERE id IN ({marks})"  # noqa: S608 - marks only
    rows = reader.query(sql, {f"i{number}": one for number, one in enumerate(ids)}, hours=hours).to_pylist()
    found = {row["id"]: event_from_row("generations", row) for row in rows}
    yield from (event for one in ids if isinstance(event := found.get(one), Generation))


_COMPARED_WHERE = """
WHERE rollout = $rollout AND arm <> 'stable' AND status <> 'aborted'
    AND began_at >= make_timestamptz($since::BIGINT * 1000) AND began_at < make_timestamptz($until::BIGINT * 1000)
QUALIFY row_number() OVER (PARTITION BY arm ORDER BY began_at DESC) <= $limit
"""
_COMPARED = f"SELECT * FROM generations {_COMPARED_WHERE} ORDER BY began_at DESC"  # noqa: S608 - parts of ours
_COMPARED_SCORES = f"SELECT * FROM scores WHERE generation IN (SELECT id FROM generations {_COMPARED_WHERE})"  # noqa: S608 - as above
_METRICS = """
SELECT g.feature || '#' || g.release_number AS release, g.release AS digest, g.arm,
       count(*) AS requests,
       coalesce(avg(CASE WHEN g.status <> 'aborted' THEN (g.status = 'error')::INT END), 0) AS error_rate,
       count(*) FILTER (g.status = 'aborted') AS aborted,
       quantile_cont(g.latency_ms, 0.5) FILTER (g.status = 'ok') AS latency_p50_ms,
       quantile_cont(g.latency_ms, 0.95) FILTER (g.status = 'ok') AS latency_p95_ms,
       quantile_cont(g.first_token_ms, 0.5) FILTER (g.status = 'ok') AS first_token_p50_ms,
       sum(g.input_tokens)::BIGINT AS input_tokens,
       sum(g.output_tokens)::BIGINT AS output_tokens,
       sum(g.cost_usd) AS cost_usd
FROM generations g WHERE {where}
GROUP BY g.feature, g.release_number, g.release, g.arm ORDER BY g.feature, g.release_number DESC, g.arm
"""
_SIGNALS = """
WITH said AS (
    SELECT 'feedback' AS kind, generation, name, arg_max(value, (began_at, id)) AS value FROM feedback GROUP BY ALL
    UNION ALL
    SELECT 'scores' AS kind, generation, name, arg_max(value, (began_at, id)) AS value FROM scores GROUP BY ALL
)
SELECT said.kind, g.release AS digest, g.arm, said.name, avg(said.value) AS mean, count(*) AS generations
FROM said JOIN generations g ON g.id = said.generation WHERE {where}
GROUP BY ALL
"""
_SIGNAL = """
WITH said AS (
    SELECT id, generation, value, began_at FROM scores WHERE name = $name
    UNION ALL SELECT id, generation, value, began_at FROM feedback WHERE name = $name
)
SELECT said.generation, arg_max(said.value, (said.began_at, said.id)) AS value
FROM said JOIN generations g ON g.id = said.generation WHERE {where} GROUP BY said.generation
"""
_TRENDS = f"""
WITH counted AS ({{counted}}),
calls AS (
    SELECT date_trunc('{{bucket}}', began_at) AS began_at, feature, release_number, status, latency_bucket,
           sum(calls) AS calls, sum(cost_usd) AS cost_usd
    FROM counted GROUP BY ALL
), ranked AS (
    SELECT *, sum(calls) FILTER (status = 'ok') OVER (alike ORDER BY latency_bucket) AS so_far,
           sum(calls) FILTER (status = 'ok') OVER alike AS answered
    FROM calls WINDOW alike AS (PARTITION BY began_at, feature, release_number)
)
SELECT epoch_ms(began_at) AS at_ms, feature || '#' || release_number AS release, sum(calls)::BIGINT AS requests,
       coalesce(sum(calls) FILTER (status = 'error') / sum(calls) FILTER (status <> 'aborted'), 0) AS error_rate,
       min({LATENCY_OF_BUCKET}) FILTER (status = 'ok' AND so_far >= 0.95 * answered) AS latency_p95_ms,
       sum(cost_usd) AS cost_usd
FROM ranked GROUP BY began_at, feature, release_number ORDER BY began_at, feature, release_number
"""  # noqa: S608 - parts of ours
_FAILED = """
SELECT g.id, 'error ' || g.error_code AS why FROM generations g
WHERE {where} AND g.status = 'error' ORDER BY g.began_at DESC, g.id LIMIT $limit
"""
_POOR = """
WITH said AS (
    SELECT id, generation, name, value, began_at FROM scores WHERE name = $name
    UNION ALL SELECT id, generation, name, value, began_at FROM feedback WHERE name = $name
), newest AS (SELECT generation, arg_max(value, (began_at, id)) AS value FROM said GROUP BY generation)
SELECT g.id, $name || ' ' || round(newest.value, 3) AS why FROM newest JOIN generations g ON g.id = newest.generation
WHERE {where} AND newest.value < 0.5 ORDER BY newest.value, g.began_at DESC, g.id LIMIT $limit
"""
