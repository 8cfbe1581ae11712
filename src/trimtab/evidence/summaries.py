"""What an hour of generations comes to, in a few thousand rows: trends over weeks read these and not every call.

A summary is written with the merged file that it is of, in one commit, and goes with it. Its rows count calls that are
alike: of one release, arm and outcome, answered within the same hour and about as fast. Latencies are counted in
buckets that grow by 2 %, so that any quantile of any union of summaries is known within 1 % (DDSketch, Masson et al.
2019, arXiv 1908.10693), and is the very same as of the calls themselves, counted that way.
"""

from __future__ import annotations

import duckdb
import pyarrow as pa

__all__ = ["LATENCY_OF_BUCKET", "SUMMARISED", "SUMMARY_SCHEMA", "summarise", "summary_query"]

SUMMARISED = ("feature", "environment", "release_number", "arm", "status", "served_model")
"""By what summaries can be filtered, beside whole hours."""
_GROWTH = 1.02
_BUCKET = f"CASE WHEN g.status = 'ok' THEN ceil(ln(greatest(g.latency_ms, 0.001)) / ln({_GROWTH}))::INTEGER ELSE 0 END"
LATENCY_OF_BUCKET = f"2 * pow({_GROWTH}, latency_bucket) / (1 + {_GROWTH})"
"""SQL: milliseconds, at most 1 % from any latency in the bucket."""

SUMMARY_SCHEMA = pa.schema(
    [
        pa.field("began_at", pa.timestamp("ms", tz="UTC"), nullable=False),
        *(
            pa.field(name, pa.int64() if name == "release_number" else pa.string(), nullable=False)
            for name in SUMMARISED
        ),
        pa.field("latency_bucket", pa.int32(), nullable=False),
        pa.field("calls", pa.int64(), nullable=False),
        pa.field("cost_usd", pa.float64(), nullable=False),
    ],
    metadata={"trimtab.schema": "1", "trimtab.kind": "summaries"},
)
_KEYS = ", ".join(f"g.{name}" for name in SUMMARISED)


def summary_query(source: str, *, where: str = "true", stretch: str = "hour") -> str:
    """Return the SELECT that summarises generations; `source` and `where` are SQL of ours, over `g`."""
    return f"""
SELECT date_trunc('{stretch}', g.began_at) AS began_at, {_KEYS}, {_BUCKET} AS latency_bucket,
       count(*) AS calls, sum(g.cost_usd) AS cost_usd
FROM {source} g WHERE {where} GROUP BY ALL
"""  # noqa: S608 - parts of ours


def summarise(calls: pa.Table) -> pa.Table:
    """Return the summary of generations."""
    with duckdb.connect(":memory:", config={"threads": 1}) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("calls", calls)
        return connection.sql(summary_query("calls")).to_arrow_table().cast(SUMMARY_SCHEMA)
