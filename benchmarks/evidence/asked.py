"""The questions of the promise: as Trimtab answers them, as a command does, and as plain DuckDB does over the files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from benchmarks.evidence.data import HOUR_MS
from trimtab.evidence.questions import Filter, extract, failing, release_metrics, trace, trends

if TYPE_CHECKING:
    from collections.abc import Callable

    from trimtab.evidence.reader import EvidenceReader

__all__ = ["Asked", "questions"]

_DAY_MS = 24 * HOUR_MS
_SCAN = "read_parquet('{folder}/{kind}/**/*.parquet', hive_partitioning = true)"
_DATASET = 5_000


@dataclass(frozen=True, slots=True)
class Asked:
    """One question, three ways. `promise_ms` is the bound that is promised for ten million events."""

    name: str
    promise_ms: float
    ask: Callable[[EvidenceReader], int]
    """Returns how many rows the answer has."""
    command: list[str]
    """Of `trimtab`."""
    plain: str
    """SQL over the files, by somebody who knows their columns and nothing else."""


def questions(now_ms: int, generation: str, *, since_now_seconds: int) -> list[Asked]:
    """Return the questions; `generation` is the id to trace, `since_now_seconds` how long ago the newest event is."""
    hour, day, week = (Filter(span=(now_ms - back, now_ms + 1)) for back in (HOUR_MS, _DAY_MS, 7 * _DAY_MS))
    some = msgspec.structs.replace(day, feature="outreach-mail", arm="candidate", status="ok")

    def since(span_ms: int) -> list[str]:
        return ["--since", f"{span_ms // 1000 + since_now_seconds}s"]

    def scan(kind: str) -> str:
        return _SCAN.replace("{kind}", kind)

    def within(span_ms: int) -> str:
        return f"began_at >= make_timestamptz({(now_ms - span_ms) * 1000}::BIGINT)"

    return [
        Asked(
            "metrics of each release, last hour",
            50,
            lambda reader: len(release_metrics(reader, hour)),
            ["evidence", "metrics", *since(HOUR_MS)],
            f"""SELECT g.feature, g.release_number, g.arm, count(*), avg((g.status = 'error')::INT),
                       quantile_cont(g.latency_ms, [0.5, 0.95]), sum(g.cost_usd), avg(f.value), avg(s.value)
                FROM {scan("generations")} g
                LEFT JOIN {scan("feedback")} f ON f.generation = g.id
                LEFT JOIN {scan("scores")} s ON s.generation = g.id
                WHERE g.{within(HOUR_MS)} GROUP BY ALL""",
        ),
        Asked(
            "one trace by its id",
            150,
            lambda reader: len(trace(reader, generation)),
            ["trace", generation],
            f"SELECT * FROM {scan('generations')} WHERE id = '{generation}'",
        ),
        Asked(
            "20 newest failures with text, last hour",
            150,
            lambda reader: len(failing(reader, hour)),
            ["evidence", "failing", *since(HOUR_MS)],
            f"""SELECT * FROM {scan("generations")} WHERE {within(HOUR_MS)} AND status = 'error'
                ORDER BY began_at DESC LIMIT 20""",
        ),
        Asked(
            "20 worst by a score with text, last hour",
            150,
            lambda reader: len(failing(reader, hour, by="tone")),
            ["evidence", "failing", "--by", "tone", *since(HOUR_MS)],
            f"""SELECT g.* FROM {scan("generations")} g JOIN {scan("scores")} s ON s.generation = g.id
                WHERE g.{within(HOUR_MS)} AND s.value < 0.5 ORDER BY s.value, g.began_at DESC LIMIT 20""",
        ),
        Asked(
            f"{_DATASET:,} answers of a candidate with text, last day",
            1000,
            lambda reader: sum(1 for _ in extract(reader, some, limit=_DATASET)),
            ["evidence", "export", "--feature", some.feature, "--arm", some.arm, "--status", "ok",
             "--limit", str(_DATASET), *since(_DAY_MS)],
            f"""SELECT * FROM {scan("generations")} WHERE {within(_DAY_MS)} AND feature = '{some.feature}'
                AND arm = 'candidate' AND status = 'ok' ORDER BY began_at LIMIT {_DATASET}""",
        ),
        Asked(
            "trends of each release by hour, 7 days",
            1000,
            lambda reader: len(trends(reader, week)),
            ["evidence", "trends", *since(7 * _DAY_MS)],
            f"""SELECT date_trunc('hour', began_at), feature, release_number, count(*), avg((status = 'error')::INT),
                       quantile_cont(latency_ms, 0.95), sum(cost_usd)
                FROM {scan("generations")} WHERE {within(7 * _DAY_MS)} GROUP BY ALL""",
        ),
        Asked(
            "metrics of each release, 7 days",
            0,
            lambda reader: len(release_metrics(reader, week)),
            [],
            "",
        ),
    ]  # fmt: skip
