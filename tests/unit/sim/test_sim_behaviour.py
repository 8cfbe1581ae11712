from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.sim.behaviour import ChatRequest, answer
from trimtab.sim.config import Latency, Rule, SimConfig, When
from trimtab.sim.draw import latency_ms, uniform

TOOL = {
    "type": "function",
    "function": {
        "name": "track",
        "parameters": {"type": "object", "properties": {"order_id": {"type": "string"}, "days": {"type": "integer"}}},
    },
}


def ask(
    question: str = "Where is order A-1007?", system: str = "Reply with one JSON object.", **more: Any
) -> ChatRequest:
    messages = [{"role": "system", "content": system}, {"role": "user", "content": question}]
    return ChatRequest(model="gpt-4o-mini-2024-07-18", messages=messages, **more)


def share(config: SimConfig, asked: list[ChatRequest], wanted: str) -> float:
    return sum(wanted in answer(config, request).text for request in asked) / len(asked)


def test_without_a_file_it_answers_order_questions_as_json() -> None:
    said = json.loads(answer(SimConfig(), ask()).text)
    assert said.keys() == {"answer", "order_id", "next_step"}
    assert said["order_id"] == "A-1007"


@given(st.text(), st.text(max_size=20), st.integers(0, 5))
def test_the_same_request_gets_the_same_answer_whatever_it_holds(user: str, unit: str, seed: int) -> None:
    config = SimConfig(
        seed=seed, rules=[Rule(name="r", fence_rate=0.5, error_rate=0.3, latency=Latency(median_ms=5, p95_ms=9))]
    )
    assert answer(config, ask(user, user=unit)) == answer(config, ask(user, user=unit))


def test_another_seed_draws_anew() -> None:
    asked = [ask(user=f"order {n}") for n in range(40)]
    texts = [[answer(SimConfig(seed=seed), request).text for request in asked] for seed in (1, 2)]
    assert texts[0] != texts[1]


def test_a_rate_drawn_by_user_hits_the_same_users_in_every_request() -> None:
    rule = Rule(name="chatty", answer="{}", preamble_rate=0.3, preamble="Sure! ", draw_by="user")
    config = SimConfig(rules=[rule])
    hit = {
        unit: [answer(config, ask(f"order {n}", user=unit)).text.startswith("Sure! ") for n in range(5)]
        for unit in (f"user-{n}" for n in range(400))
    }
    assert all(len(set(outcomes)) == 1 for outcomes in hit.values())
    assert 0.22 < sum(outcomes[0] for outcomes in hit.values()) / 400 < 0.38


def test_a_rate_drawn_by_request_varies_within_a_user() -> None:
    config = SimConfig(rules=[Rule(name="chatty", answer="{}", preamble_rate=0.5, preamble="Sure! ")])
    outcomes = {answer(config, ask(f"order {n}", user="one")).text for n in range(30)}
    assert outcomes == {"{}", "Sure! {}"}


@pytest.mark.parametrize(
    ("rates", "mark"),
    [
        ({"fence_rate": 0.25}, "```json"),
        ({"refusal_rate": 0.25}, "can't help"),
        ({"preamble_rate": 0.25}, "Sure, happy"),
    ],
)
def test_rates_are_met(rates: dict[str, float], mark: str) -> None:
    config = SimConfig(rules=[Rule(name="r", answer="{}", **rates)])  # type: ignore[arg-type]
    assert 0.2 < share(config, [ask(f"order {n}") for n in range(800)], mark) < 0.3


def test_invalid_json_does_not_parse() -> None:
    config = SimConfig(rules=[Rule(name="r", answer={"answer": "yes"}, invalid_json_rate=1.0)])
    with pytest.raises(json.JSONDecodeError):
        json.loads(answer(config, ask()).text)


def test_errors_carry_their_status_and_empty_answers_are_empty() -> None:
    failing = answer(SimConfig(rules=[Rule(name="r", error_rate=1.0, error_status=429)]), ask())
    assert (failing.error_status, failing.error_code) == (429, "rate_limit_exceeded")
    assert answer(SimConfig(rules=[Rule(name="r", answer="x", empty_rate=1.0)]), ask()).text == ""


@pytest.mark.parametrize(("verbosity", "words"), [(2.0, 20), (0.5, 5), (1.0, 10)])
def test_verbosity_is_a_factor_on_words(verbosity: float, words: int) -> None:
    config = SimConfig(rules=[Rule(name="r", answer="a b c d e f g h i j", verbosity=verbosity)])
    assert len(answer(config, ask()).text.split()) == words


def test_the_first_rule_that_holds_answers() -> None:
    rules = [
        Rule(name="one", when=When(system_contains="WARM"), answer="one"),
        Rule(name="two", when=When(model="gpt-4o-*", user_contains="order"), answer="two"),
        Rule(name="three", answer="three"),
    ]
    config = SimConfig(rules=rules)
    assert answer(config, ask(system="Be warm.")).text == "one"
    assert answer(config, ask()).text == "two"
    assert answer(config, ask("hello")).text == "three"


def test_a_rule_without_an_answer_changes_how_the_next_one_is_said() -> None:
    config = SimConfig(rules=[Rule(name="fenced", fence_rate=1.0)])
    plain = answer(SimConfig(), ask()).text
    assert answer(config, ask()).text == f"```json\n{plain}\n```"


def test_tools_are_called_by_rate_by_choice_and_not_after_their_result() -> None:
    config = SimConfig(rules=[Rule(name="r", answer="done", tool_call_rate=1.0)])
    said = answer(config, ask(tools=[TOOL]))
    assert said.tool_call is not None
    assert said.tool_call[0] == "track"
    assert json.loads(said.tool_call[1]) == {"order_id": "A-1007", "days": 1}
    assert answer(SimConfig(), ask(tools=[TOOL], tool_choice="required")).tool_call is not None
    assert answer(config, ask(tools=[TOOL], tool_choice="none")).tool_call is None
    after = ChatRequest(model="m", messages=[*ask().messages, {"role": "tool", "content": "{}"}], tools=[TOOL])
    assert answer(config, after).text == "done"


def test_a_json_schema_in_the_request_is_satisfied() -> None:
    schema = {"type": "object", "properties": {"verdict": {"enum": ["good", "bad"]}, "why": {"type": "string"}}}
    asked = ask("hello", response_format={"type": "json_schema", "json_schema": {"name": "v", "schema": schema}})
    assert json.loads(answer(SimConfig(), asked).text) == {"verdict": "good", "why": "hello"}


@given(st.lists(st.text(), min_size=1, max_size=4))
def test_draws_lie_strictly_between_zero_and_one(names: list[str]) -> None:
    assert 0.0 < uniform(*names) < 1.0


def test_draws_are_pinned_across_machines() -> None:
    assert uniform("1", "r", "fence", "user-1") == pytest.approx(0.2978988, abs=1e-7)
    assert uniform("ab", "c") != uniform("a", "bc")


def test_latency_has_the_median_and_the_95th_percentile_it_was_given() -> None:
    assert latency_ms(0.5, median_ms=100, p95_ms=300) == pytest.approx(100)
    assert latency_ms(0.95, median_ms=100, p95_ms=300) == pytest.approx(300)
    assert latency_ms(0.99, median_ms=100, p95_ms=50) == 100


def test_a_model_can_reject_a_field_of_the_request() -> None:
    config = SimConfig(rules=[Rule(when=When(model="picky-*"), rejects=("temperature",))])
    request = ChatRequest(model="picky-1", messages=[{"role": "user", "content": "hi"}])
    refused = answer(config, request, fields={"model", "messages", "temperature"})
    assert (refused.error_status, refused.error_code) == (400, "unsupported_parameter")
    assert "'temperature'" in refused.error_message
    assert answer(config, request, fields={"model", "messages"}).error_status == 0
    other = ChatRequest(model="easy", messages=request.messages)
    assert answer(config, other, fields={"temperature"}).error_status == 0
