"""A week of a company's evidence, as tables: five features, releases and rollouts, text, feedback and scores.

An hour is made of its own seed, so hours are made side by side and always the same. Columns are made whole, with
Arrow: a millisecond or so of Python for a thousand events.
"""

from __future__ import annotations

import math
from functools import cache
from random import Random
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.evidence.texts import Prose, draw, hexadecimal, joined, quantised, uniform
from trimtab.core.ids import digest_of
from trimtab.evidence.tables import schema_of

__all__ = ["ENVIRONMENT", "FEATURES", "HOUR_MS", "Hour", "make_hour"]

HOUR_MS = 3_600_000
ENVIRONMENT = "production"
_DAYS_PER_RELEASE = 2
_PROSE_CHARACTERS = 256 * 1024 * 1024
_LENGTHS = (0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.3, 1.6, 2.2)
"""Of a text, by the average: as skewed as people's are."""


class Feature(msgspec.Struct, frozen=True):
    """What one feature's calls look like; sizes are characters."""

    name: str
    share: float
    system: int
    asked: int
    answered: int
    model: str
    input_usd: float
    output_usd: float
    document: int = 0
    """Shown to the model as well, out of a corpus of 20,000: retrieved, so the same ones come again."""


FEATURES = (
    Feature("support-reply", 0.4, 850, 400, 620, "gpt-4o-mini-2024-07-18", 0.15e-6, 0.6e-6),
    Feature("doc-answers", 0.2, 600, 140, 600, "claude-haiku-4-5-20251001", 1e-6, 5e-6, document=900),
    Feature("ticket-summary", 0.2, 750, 900, 350, "gpt-4o-mini-2024-07-18", 0.15e-6, 0.6e-6),
    Feature("intent", 0.1, 1700, 220, 60, "gpt-4o-mini-2024-07-18", 0.15e-6, 0.6e-6),
    Feature("outreach-mail", 0.1, 900, 350, 1100, "gpt-4o-2024-11-20", 2.5e-6, 10e-6),
)


class Hour(msgspec.Struct, frozen=True):
    """What one hour's generations were and what was said about them, ordered by time."""

    generations: pa.Table
    scores: pa.Table
    feedback: pa.Table


class _World(msgspec.Struct, frozen=True):
    prose: Prose
    systems: dict[tuple[str, int], str]
    documents: pa.Array
    processes: pa.Array
    units: pa.Array
    attributes: pa.Array
    latency: pa.Array


@cache
def _world() -> _World:
    random = Random(20_261_126)
    prose = Prose(random, _PROSE_CHARACTERS)
    systems: dict[tuple[str, int], str] = {}
    for feature in FEATURES:
        base = prose.cut([feature.system])[0].as_py()
        for number in range(1, 40):  # each release says a few words differently
            words = base.split(" ")
            words[number % len(words)] = f"always{number}"
            base = " ".join(words)
            systems[feature.name, number] = base
    return _World(
        prose=prose,
        systems=systems,
        documents=prose.cut([round(900 * random.choice(_LENGTHS)) for _ in range(20_000)]),
        processes=quantised([f"gateway-{random.randbytes(6).hex()}" for _ in range(8)], [1.0] * 8),
        units=quantised([f"user-{number}" for number in random.sample(range(10**7), 60_000)],
                        [1 / (rank + 500) for rank in range(60_000)]),
        attributes=quantised([f'{{"language":"{language}","tier":"{tier}"}}'
                              for language in ("en", "de", "fr", "es") for tier in ("free", "pro")],
                             [8, 4, 4, 2, 2, 1, 2, 1]),
        latency=quantised([random.lognormvariate(0, 0.5) for _ in range(20_000)], [1.0] * 20_000),
    )  # fmt: skip


def make_hour(hour_ms: int, count: int, *, seed: int, span_ms: tuple[int, int] | None = None) -> Hour:
    """Return about `count` generations of an hour (in `span_ms` of it), scores of 15 % and feedback about 10 %."""
    random = Random(f"{seed}/{hour_ms}")
    _world().prose.seek(random)
    begin_ms, end_ms = span_ms or (hour_ms, hour_ms + HOUR_MS)
    parts = [
        _calls(random, feature, max(1, round(count * feature.share)), begin_ms, end_ms - begin_ms)
        for feature in FEATURES
    ]
    generations = pa.concat_tables(parts).sort_by([("began_at", "ascending"), ("id", "ascending")]).combine_chunks()
    return Hour(generations, _scores(random, generations), _feedback(random, generations))


def _calls(random: Random, feature: Feature, count: int, begin_ms: int, span_ms: int) -> pa.Table:
    world = _world()
    times = sorted(begin_ms + int(random.random() * span_ms) for _ in range(count))
    day = begin_ms // (24 * HOUR_MS)
    number = 1 + (day // _DAYS_PER_RELEASE) % 30
    digests = {one: digest_of(f"{feature.name}#{one}".encode()) for one in (number, number + 1)}
    arms = draw(random, quantised(["stable", "matched_control", "candidate"], [8.0, 1.0, 1.0]), count)
    candidate = pc.equal(arms, "candidate")
    running = pc.not_equal(arms, "stable")
    status = draw(random, quantised(["ok", "error", "aborted"], [97.0, 2.0, 1.0]), count)
    ok = pc.equal(status, "ok")
    asked = world.prose.cut(_lengths(random, count, feature.asked))
    answered = pc.if_else(ok, world.prose.cut(_lengths(random, count, feature.answered)), "")
    output_tokens = pc.cast(pc.divide(pc.cast(pc.binary_length(answered), pa.float64()), 4.2), pa.int64(), safe=False)
    system = pc.if_else(candidate, world.systems[feature.name, number + 1], world.systems[feature.name, number])
    messages, variables = _prompts(random, feature, system, asked, count)
    input_tokens = pc.cast(pc.divide(pc.cast(pc.binary_length(messages), pa.float64()), 4.2), pa.int64(), safe=False)
    latency = pc.multiply(draw(random, world.latency, count), pc.add(pc.multiply(output_tokens, 11.0), 180.0))
    latency = pc.divide(pc.floor(pc.multiply(pc.add(latency, uniform(random, count, 1.0)), 1e6)), 1e6)
    traced = draw(random, quantised([True, False], [1.0, 1.0]), count)
    cost = pc.add(pc.multiply(input_tokens, feature.input_usd), pc.multiply(output_tokens, feature.output_usd))
    columns: dict[str, Any] = {
        "id": _ids(random, "gen", times),
        "began_at": pa.array(times, pa.int64()),
        "feature": feature.name,
        "environment": ENVIRONMENT,
        "release": pc.if_else(candidate, digests[number + 1], digests[number]),
        "process": draw(random, world.processes, count),
        "release_number": pc.if_else(candidate, number + 1, number),
        "arm": arms,
        "unit": draw(random, world.units, count),
        "rollout": pc.if_else(running, f"ro_{feature.name}_{day // _DAYS_PER_RELEASE}", ""),
        "stage": pc.if_else(running, 1, -1),
        "provider": "anthropic" if feature.model.startswith("claude") else "openai",
        "requested_model": feature.model,
        "served_model": pc.if_else(ok, feature.model, ""),
        "status": status,
        "error_code": pc.if_else(pc.equal(status, "error"), "upstream_500", ""),
        "http_status": pc.if_else(pc.equal(status, "error"), 502, 200),
        "stream": draw(random, quantised([True, False], [2.0, 1.0]), count),
        "latency_ms": latency,
        "first_token_ms": pc.divide(pc.floor(pc.multiply(pc.multiply(latency, 0.2), 1e6)), 1e6),
        "input_tokens": input_tokens,
        "output_tokens": output_tokens,
        "cost_usd": cost,
        "finish_reason": pc.if_else(ok, "stop", ""),
        "variables": variables,
        "messages": messages,
        "output": answered,
        "tool_calls": "",
        "mirrors": "",
        "trace": pc.if_else(traced, hexadecimal(random, count, 32), ""),
        "parent_span": pc.if_else(traced, hexadecimal(random, count, 16), ""),
        "format": "chat",
        "team": "",
        "attempts": draw(random, quantised([1, 2, 3], [97.0, 2.0, 1.0]), count),
        "fallback": 0,
        "attributes": draw(random, world.attributes, count),
    }  # fmt: skip
    return _table("generations", columns, count)


def _prompts(random: Random, feature: Feature, system: pa.Array, asked: pa.Array, count: int) -> tuple[pa.Array, Any]:
    """Return the rendered messages, and what the caller gave to render them."""
    opening, turn, close = '[{"role":"system","content":"', '"},{"role":"user","content":"', '"}]'
    if feature.document:
        documents = _world().documents
        found = documents.take(pa.array([int(random.random() ** 3 * len(documents)) for _ in range(count)]))
        context = joined(system, "\\n\\nAnswer from this document alone:\\n", found)
        return joined(opening, context, turn, asked, close), '{"shop":"Acme"}'
    if (
        feature.name == "ticket-summary"
    ):  # the SDK renders it out of a variable: the text stands there and in the prompt
        return joined(opening, system, turn, asked, close), joined('{"ticket":"', asked, '"}')
    return joined(opening, system, turn, asked, close), '{"shop":"Acme"}'


def _scores(random: Random, calls: pa.Table) -> pa.Table:
    chosen = calls.filter(pc.less(uniform(random, calls.num_rows, 1.0), 0.15))
    count = chosen.num_rows
    times = [
        moment + random.randrange(2_000, 90_000) for moment in chosen.column("began_at").cast(pa.int64()).to_pylist()
    ]
    columns = {
        "id": joined("score_tone_", chosen.column("id").combine_chunks()),
        "began_at": pa.array(times, pa.int64()),
        "generation": chosen.column("id"),
        "name": "tone",
        "value": draw(random, quantised([0.0, 0.25, 0.5, 0.75, 1.0], [2.0, 5.0, 13.0, 40.0, 40.0]), count),
        "source": "judge:gpt-4o",
    }
    return _about(chosen, "scores", columns)


def _feedback(random: Random, calls: pa.Table) -> pa.Table:
    """People answer after twenty minutes, some after days."""
    chosen = calls.filter(pc.less(uniform(random, calls.num_rows, 1.0), 0.10))
    times = [
        moment + int(random.lognormvariate(math.log(1_200_000), 1.5))
        for moment in chosen.column("began_at").cast(pa.int64()).to_pylist()
    ]
    columns = {
        "id": _ids(random, "fb", times),
        "began_at": pa.array(times, pa.int64()),
        "generation": chosen.column("id"),
        "name": "thumbs",
        "value": draw(random, quantised([0.0, 1.0], [1.0, 4.0]), chosen.num_rows),
        "unit": chosen.column("unit"),
    }
    return _about(chosen, "feedback", columns)


def _about(chosen: pa.Table, kind: str, columns: dict[str, Any]) -> pa.Table:
    shared = {name: chosen.column(name) for name in ("feature", "environment", "process")}
    made = _table(kind, shared | {"comment": ""} | columns, chosen.num_rows)
    return made.sort_by([("began_at", "ascending"), ("id", "ascending")]).combine_chunks()


def _table(kind: str, columns: dict[str, Any], count: int) -> pa.Table:
    """Return a table of the schema; a plain value stands in every row."""
    arrays = []
    for field in schema_of(kind):
        value = columns.get(field.name, "" if field.type == pa.string() else 0)
        whole = value if isinstance(value, pa.Array | pa.ChunkedArray) else pa.repeat(value, count)
        arrays.append(whole.cast(field.type))
    return pa.Table.from_arrays(arrays, schema=schema_of(kind))


def _lengths(random: Random, count: int, average: int) -> list[int]:
    return [round(average * share) for share in random.choices(_LENGTHS, k=count)]


def _ids(random: Random, prefix: str, times: list[int]) -> pa.Array:
    """Return ids as `core.ids.new_id` draws them: UUIDv7 in hex."""
    heads = pa.array([f"{prefix}_{moment:012x}7" for moment in times], pa.string())
    return joined(heads, hexadecimal(random, len(times), 3), "a", hexadecimal(random, len(times), 15))
