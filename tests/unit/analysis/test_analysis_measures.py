from __future__ import annotations

from typing import Any

import pytest

from trimtab.analysis.measures import MEASURES
from trimtab.analysis.refusal import is_refusal
from trimtab.artifacts.model import ModelContent, PromptContent, SchemaContent
from trimtab.events import Generation
from trimtab.releases.model import CompiledRelease

SCHEMA = {"type": "object", "properties": {"answer": {"type": "string"}}, "required": ["answer"]}


def generation(**fields: Any) -> Generation:
    given: dict[str, Any] = {"messages": [{"role": "user", "content": "?"}]} | fields
    return Generation(id="gen_1", at_ms=0, feature="f", environment="e", release="sha256:r", **given)


def release(*, schema: dict[str, Any] | None = None, parameters: dict[str, Any] | None = None) -> CompiledRelease:
    return CompiledRelease(
        digest="sha256:r",
        feature="f",
        number=1,
        prompt=PromptContent(messages=[], variables={}),
        model=ModelContent(provider="p", model="m", parameters=parameters or {}),
        schema=None if schema is None else SchemaContent(name="s", schema=schema),
    )


JSON = release(schema=SCHEMA)
PLAIN = release()


@pytest.mark.parametrize(
    ("output", "asked", "expected"),
    [
        ('{"answer": "yes"}', JSON, 1.0),
        (' {"answer": "yes"}\n', JSON, 1.0),
        ('```json\n{"answer": "yes"}\n```', JSON, 0.0),
        ('Here you go: {"answer": "yes"}', JSON, 0.0),
        ('{"answer": "ye', JSON, 0.0),
        ("", JSON, 0.0),
        ("{}", release(parameters={"response_format": {"type": "json_object"}}), 1.0),
        ("plain words", release(parameters={"response_format": {"type": "text"}}), 1.0),
        ("plain words", PLAIN, 1.0),
        ("```python\nprint()\n```", PLAIN, 0.0),
        ("Use `x`:\n```python\nprint()\n```", PLAIN, 1.0),
    ],
)
def test_format_is_what_the_release_promises(output: str, asked: CompiledRelease, expected: float) -> None:
    assert MEASURES["format"](generation(output=output), asked) == expected


@pytest.mark.parametrize(
    ("output", "expected"), [('{"answer": "yes"}', 1.0), ('{"answer": 1}', 0.0), ("[]", 0.0), ("no", 0.0)]
)
def test_schema_validates_against_the_release_that_answered(output: str, expected: float) -> None:
    assert MEASURES["schema"](generation(output=output), JSON) == expected


@pytest.mark.parametrize("name", ["refusal", "format", "schema", "length"])
@pytest.mark.parametrize(
    "fields",
    [
        {"status": "error", "error_code": "timeout"},
        {"output": "", "tool_calls": [{"id": "1"}]},
        {"output": "", "messages": []},
        {"output": "", "content_dropped": "unencodable"},
    ],
    ids=["errored", "bare tool call", "content not captured", "content dropped by us"],
)
def test_text_metrics_do_not_apply_where_there_is_no_text(name: str, fields: dict[str, Any]) -> None:
    assert MEASURES[name](generation(**fields), JSON) is None


def test_schema_and_unknown_release_do_not_apply() -> None:
    assert MEASURES["schema"](generation(output="{}"), PLAIN) is None
    assert MEASURES["schema"](generation(output="{}"), None) is None


def test_numbers_are_read_in_their_own_units() -> None:
    measured = generation(output="four", latency_ms=250.0, output_tokens=7, cost_usd=0.002)
    values = {name: MEASURES[name](measured, None) for name in ("latency", "tokens", "cost", "length")}
    assert values == {"latency": 250.0, "tokens": 7.0, "cost": 0.002, "length": 4.0}


def test_a_missing_price_is_not_a_price_of_zero() -> None:
    assert MEASURES["cost"](generation(output="x"), None) is None


def test_error_counts_failures_and_not_departures() -> None:
    assert MEASURES["error"](generation(output="x"), None) == 1.0
    assert MEASURES["error"](generation(status="error"), None) == 0.0
    assert MEASURES["error"](generation(status="aborted"), None) is None


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't help with that.",
        "I\u2019m sorry, but I can\u2019t assist with that request.",
        "I cannot provide medical advice.",
        "Sorry, I am not able to help you with this.",
        "As an AI language model, I do not have opinions.",
        "I must decline.",
        "That goes against my guidelines.",
        "Es tut mir leid, aber ich kann dabei nicht helfen.",
        "Lo siento, pero no puedo ayudarte.",
    ],
)
def test_phrases_of_refusal_are_found(text: str) -> None:
    assert is_refusal(text)


@pytest.mark.parametrize(
    "text",
    [
        "You can't return the item after 30 days, but we can help you exchange it.",
        "Sorry for the delay! Your order A-1007 ships today.",
        "I can help with that.",
        '{"answer": "yes", "order_id": "A-1", "next_step": "none"}',
        "The answer. " * 40 + "I cannot help with the rest.",
    ],
)
def test_ordinary_answers_are_not(text: str) -> None:
    assert not is_refusal(text)


def test_the_provider_may_say_that_it_refused() -> None:
    assert is_refusal("", "content_filter")
    assert MEASURES["refusal"](generation(output="ok", finish_reason="content_filter"), None) == 0.0
