"""The questions in SQL, over what the reader shows. Braces are filled in with SQL of ours, `$` with what was asked."""

from __future__ import annotations

from trimtab.evidence.summaries import LATENCY_OF_BUCKET

__all__ = ["COMPARED", "COMPARED_SCORES", "FAILED", "METRICS", "MINUTES", "POOR", "SIGNAL", "TRENDS"]

_COMPARED_WHERE = """
WHERE rollout = $rollout AND arm <> 'stable' AND status <> 'aborted'
    AND began_at >= make_timestamptz($since::BIGINT * 1000) AND began_at < make_timestamptz($until::BIGINT * 1000)
QUALIFY row_number() OVER (PARTITION BY arm ORDER BY began_at DESC) <= $limit
"""
COMPARED = f"SELECT * FROM generations {_COMPARED_WHERE} ORDER BY began_at DESC"  # noqa: S608 - parts of ours
COMPARED_SCORES = f"SELECT * FROM scores WHERE generation IN (SELECT id FROM generations {_COMPARED_WHERE})"  # noqa: S608 - as above
METRICS = """
WITH chosen AS NOT MATERIALIZED (
    SELECT g.id, g.feature, g.release_number, g.release, g.arm, g.status, g.latency_ms, g.first_token_ms,
           g.input_tokens, g.output_tokens, g.cost_usd
    FROM {generations} g WHERE {where}
), said AS (
    SELECT 'feedback' AS kind, generation, name, arg_max(value, (began_at, id)) AS value FROM {feedback} GROUP BY ALL
    UNION ALL
    SELECT 'scores' AS kind, generation, name, arg_max(value, (began_at, id)) AS value FROM {scores} GROUP BY ALL
), means AS (
    SELECT chosen.release, chosen.arm, said.kind, said.name, avg(said.value) AS mean, count(*) AS generations
    FROM said JOIN chosen ON chosen.id = said.generation GROUP BY ALL
), signals AS (
    SELECT release, arm, list({{kind: kind, name: name, mean: mean, generations: generations}}) AS signals
    FROM means GROUP BY ALL
), counted AS (
    SELECT feature, release_number, release, arm, count(*) AS requests,
           coalesce(avg(CASE WHEN status <> 'aborted' THEN (status = 'error')::INT END), 0) AS error_rate,
           count(*) FILTER (status = 'aborted') AS aborted,
           quantile_cont(latency_ms, [0.5, 0.95]) FILTER (status = 'ok') AS latencies,
           quantile_cont(first_token_ms, 0.5) FILTER (status = 'ok') AS first_token_p50_ms,
           sum(input_tokens)::BIGINT AS input_tokens,
           sum(output_tokens)::BIGINT AS output_tokens,
           sum(cost_usd) AS cost_usd
    FROM chosen GROUP BY feature, release_number, release, arm
)
SELECT feature || '#' || release_number AS release, release AS digest, arm,
       latencies[1] AS latency_p50_ms, latencies[2] AS latency_p95_ms,
       counted.* EXCLUDE (feature, release_number, release, arm, latencies), signals
FROM counted LEFT JOIN signals USING (release, arm) ORDER BY feature, release_number DESC, arm
"""
SIGNAL = """
WITH said AS (
    SELECT id, generation, value, began_at FROM scores WHERE name = $name
    UNION ALL SELECT id, generation, value, began_at FROM feedback WHERE name = $name
)
SELECT said.generation, arg_max(said.value, (said.began_at, said.id)) AS value
FROM said JOIN generations g ON g.id = said.generation WHERE {where} GROUP BY said.generation
"""
TRENDS = f"""
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
MINUTES = """
SELECT epoch_ms(date_trunc('minute', g.began_at)) AS at_ms, count(*) AS calls FROM generations g WHERE {where}
GROUP BY ALL ORDER BY at_ms
"""
FAILED = """
SELECT g.id, epoch_ms(g.began_at) AS at_ms, 'error ' || g.error_code AS why FROM generations g
WHERE {where} AND g.status = 'error' ORDER BY g.began_at DESC, g.id LIMIT $limit
"""
POOR = """
WITH said AS (
    SELECT id, generation, name, value, began_at FROM scores WHERE name = $name
    UNION ALL SELECT id, generation, name, value, began_at FROM feedback WHERE name = $name
), newest AS (SELECT generation, arg_max(value, (began_at, id)) AS value FROM said GROUP BY generation)
SELECT g.id, epoch_ms(g.began_at) AS at_ms, $name || ' ' || round(newest.value, 3) AS why
FROM newest JOIN generations g ON g.id = newest.generation
WHERE {where} AND newest.value < 0.5 ORDER BY newest.value, g.began_at DESC, g.id LIMIT $limit
"""
