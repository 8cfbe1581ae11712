"""What recorded calls say of one model: who calls it, and what with (`migration.ports.RecordedCalls`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trimtab.events import Generation
from trimtab.evidence.rows import event_from_row
from trimtab.migration.traffic import JudgedAnswer, TrafficRow

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trimtab.evidence.reader import EvidenceReader

__all__ = ["EvidenceCalls"]


class EvidenceCalls:
    """Recorded calls, asked of the files and journals of evidence."""

    def __init__(self, reader: EvidenceReader) -> None:
        self._reader = reader

    def traffic(self, environment: str, provider: str, model: str, span: tuple[int, int]) -> list[TrafficRow]:
        """Calls that asked for a model, in [since, until) milliseconds."""
        parameters = {
            "environment": environment,
            "provider": provider,
            "model": model,
            "since": span[0],
            "until": span[1],
        }
        rows = self._reader.query(_TRAFFIC, parameters, hours=span).to_pylist()
        return [TrafficRow(**row) for row in rows]

    def calls(self, environment: str, release: str, span: tuple[int, int], *, limit: int) -> Iterator[Generation]:
        """Complete answers of a release that users met, with their text, spread over the span.

        Which ones is decided by their ids alone, so the same question has the same answer while nothing is added.
        """
        parameters = {
            "environment": environment,
            "release": release,
            "since": span[0],
            "until": span[1],
            "limit": limit,
        }
        for row in self._reader.query(_CALLS, parameters, hours=span).to_pylist():
            event = event_from_row("generations", row)
            if isinstance(event, Generation):
                yield event

    def judged(self, feature: str, model: str, names: tuple[str, str], span: tuple[int, int]) -> list[JudgedAnswer]:
        """Answers of a model, in any environment, that have a judge's score and a person's label of these names."""
        parameters = {
            "feature": feature,
            "model": model,
            "score": names[0],
            "label": names[1],
            "since": span[0],
            "until": span[1],
        }
        rows = self._reader.query(_JUDGED, parameters, hours=span).to_pylist()
        return [JudgedAnswer(**row) for row in rows]


_SPAN = (
    "began_at >= make_timestamptz($since::BIGINT * 1000) AND began_at < make_timestamptz($until::BIGINT * 1000) "
    "AND environment = $environment"
)
_TRAFFIC = f"""
SELECT feature, release, release_number, served_model, arm, team, process, count(*) AS calls,
       count(*) FILTER (status = 'error') AS errors,
       sum(input_tokens)::BIGINT AS input_tokens,
       max(input_tokens)::BIGINT AS largest_input_tokens,
       sum(output_tokens)::BIGINT AS output_tokens,
       sum(cost_usd) AS cost_usd,
       max(epoch_ms(began_at)) AS last_ms
FROM generations WHERE {_SPAN} AND provider = $provider AND requested_model = $model
GROUP BY ALL ORDER BY ALL
"""  # noqa: S608 - parts of ours
_CALLS = f"""
SELECT * FROM generations
WHERE {_SPAN} AND release = $release AND status = 'ok' AND arm <> 'shadow' AND fallback = 0 AND messages <> ''
ORDER BY sha256(id) LIMIT $limit
"""  # noqa: S608 - parts of ours
_JUDGED = """
WITH said AS (
    SELECT generation, name, arg_max(value, began_at) AS value, arg_max(source, began_at) AS source
    FROM (
        SELECT generation, name, value, source, began_at FROM scores
        UNION ALL SELECT generation, name, value, '' AS source, began_at FROM feedback
    ) GROUP BY ALL
)
SELECT g.id AS generation, judge.source AS judge, judge.value AS score, person.value AS label
FROM generations g
JOIN said judge ON judge.generation = g.id AND judge.name = $score
JOIN said person ON person.generation = g.id AND person.name = $label
WHERE g.began_at >= make_timestamptz($since::BIGINT * 1000) AND g.began_at < make_timestamptz($until::BIGINT * 1000)
    AND g.feature = $feature AND g.requested_model = $model
ORDER BY g.id
"""
