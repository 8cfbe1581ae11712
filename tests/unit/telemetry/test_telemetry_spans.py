from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.semconv._incubating.attributes import feature_flag_attributes, gen_ai_attributes
from opentelemetry.semconv.attributes import error_attributes, http_attributes, service_attributes
from opentelemetry.semconv.schemas import Schemas

from trimtab.core.ids import new_id
from trimtab.events import Exposure, Feedback, Generation, Score
from trimtab.telemetry import conventions
from trimtab.telemetry.messages import from_parts, output_parts, to_parts
from trimtab.telemetry.otlp_values import attribute_map
from trimtab.telemetry.spans import is_sampled, log_of, span_of

NOW_MS = 1_760_000_000_000
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"


def generation(**fields: Any) -> Generation:
    told: dict[str, Any] = {
        "id": new_id("gen", NOW_MS),
        "at_ms": NOW_MS,
        "feature": "reply",
        "environment": "production",
        "release": "sha256:1",
        "release_number": 42,
        "provider": "openai",
        "requested_model": "gpt-4o-mini",
        "served_model": "gpt-4o-mini-2024-07-18",
        "latency_ms": 1234.5,
        "input_tokens": 11,
        "output_tokens": 7,
        "finish_reason": "stop",
        "unit": "user-42",
        "messages": [{"role": "user", "content": "Where is my order?"}],
        "output": "On its way.",
    }
    return Generation(**(told | fields))


def test_every_name_of_the_conventions_is_one_of_theirs() -> None:
    """Against the registry that OpenTelemetry's own package ships."""
    modules = (feature_flag_attributes, gen_ai_attributes, error_attributes, http_attributes, service_attributes)
    registry = {value for module in modules for value in vars(module).values() if isinstance(value, str)}
    events = {conventions.GenAi.EVALUATION_EVENT, conventions.Flag.EVENT}  # names of events, not of attributes
    ours = {value for kind in (conventions.GenAi, conventions.Flag) for value in vars(kind).values()}
    ours = {value for value in ours if isinstance(value, str) and value.startswith(("gen_ai.", "feature_flag."))}
    assert len(ours) > 20
    assert ours - events - registry == set()
    assert {conventions.ERROR_TYPE, conventions.HTTP_STATUS, conventions.SERVICE_NAME} <= registry
    assert conventions.SCHEMA_URL in {one.value for one in Schemas}


def test_a_generation_is_a_client_span_with_the_flag_that_decided_its_release() -> None:
    call = generation(trace=TRACE, parent_span=PARENT, rollout="ro_1", stage=2, arm="candidate", attributes={"l": "de"})
    span = span_of(call, content=False)
    assert span.name == "chat gpt-4o-mini"
    assert span.kind == span.SPAN_KIND_CLIENT
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE, PARENT)
    assert span.span_id.hex() == call.id[-16:]  # what the provider got as its parent
    assert span.end_time_unix_nano - span.start_time_unix_nano == 1_234_500_000
    told = attribute_map(span.attributes)
    assert told == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.response.model": "gpt-4o-mini-2024-07-18",
        "gen_ai.usage.input_tokens": 11,
        "gen_ai.usage.output_tokens": 7,
        "gen_ai.response.finish_reasons": ["stop"],
        "trimtab.feature": "reply",
        "trimtab.release": "reply#42",
        "trimtab.release.digest": "sha256:1",
        "trimtab.environment": "production",
        "trimtab.arm": "candidate",
        "trimtab.rollout": "ro_1",
        "trimtab.rollout.step": 2,
        "trimtab.generation": call.id,
        "trimtab.attribute.l": "de",
    }
    (event,) = span.events
    assert event.name == "feature_flag.evaluation"
    assert attribute_map(event.attributes) == {
        "feature_flag.key": "reply",
        "feature_flag.provider.name": "trimtab",
        "feature_flag.result.variant": "reply#42",
        "feature_flag.result.reason": "split",
        "feature_flag.set.id": "production",
        "feature_flag.version": "ro_1/2",
    }


def test_content_and_units_are_told_only_where_that_is_wanted() -> None:
    call = generation(
        tool_calls=[{"id": "c1", "type": "function", "function": {"name": "find", "arguments": '{"n":1}'}}]
    )
    assert b"order" not in span_of(call, content=False).SerializeToString()
    assert b"user-42" not in span_of(call, content=False).SerializeToString()
    told = attribute_map(span_of(call, content=True).attributes)
    assert json.loads(told["gen_ai.input.messages"]) == [
        {"role": "user", "parts": [{"type": "text", "content": "Where is my order?"}]}
    ]
    (answer,) = json.loads(told["gen_ai.output.messages"])
    assert answer["finish_reason"] == "stop"
    assert answer["parts"][1] == {"type": "tool_call", "id": "c1", "name": "find", "arguments": {"n": 1}}
    assert told["trimtab.unit"] == "user-42"


def test_what_failed_says_why() -> None:
    span = span_of(generation(status="error", error_code="upstream_timeout", http_status=504), content=False)
    assert span.status.code == span.status.STATUS_CODE_ERROR
    told = attribute_map(span.attributes)
    assert (told["error.type"], told["http.response.status_code"]) == ("upstream_timeout", 504)
    gone = span_of(generation(status="aborted"), content=False)
    assert attribute_map(gone.attributes)["error.type"] == "aborted"


def test_a_mirror_is_a_child_of_the_call_that_it_mirrors() -> None:
    user = generation()
    mirror = span_of(generation(arm="shadow", mirrors=user.id), content=False)
    served = span_of(user, content=False)
    assert (mirror.trace_id, mirror.parent_span_id) == (served.trace_id, served.span_id)
    assert mirror.span_id != served.span_id


@given(st.text(), st.text(), st.text())
def test_ids_that_applications_made_up_become_sound_ones(made_up: str, trace: str, parent: str) -> None:
    call = generation(id=made_up, trace=trace, parent_span=parent, requested_model=trace, unit=parent)
    span = span_of(call, content=True)
    assert len(span.trace_id) in {0, 16}
    assert len(span.parent_span_id) in {0, 8}
    assert span == span_of(call, content=True)
    span.SerializeToString()


def test_sampling_follows_the_caller_and_else_the_trace_id() -> None:
    assert not is_sampled(generation(trace=TRACE, unsampled=True), 1.0)
    assert is_sampled(generation(trace=TRACE), 0.0)
    calls = [generation() for _ in range(4000)]
    kept = [call for call in calls if is_sampled(call, 0.25)]
    assert 800 < len(kept) < 1200
    mirrors = [generation(mirrors=call.id) for call in calls]
    assert [is_sampled(one, 0.25) for one in mirrors] == [is_sampled(one, 0.25) for one in calls]


def test_what_was_said_of_a_generation_is_an_evaluation() -> None:
    about: dict[str, Any] = {"id": "x", "at_ms": NOW_MS, "feature": "reply", "environment": "production"}
    score = Score(generation="gen_1", name="polite", value=0.5, source="judge:m", comment="rude", **about)
    log = log_of(score, content=False)
    assert log.event_name == "gen_ai.evaluation.result"
    told = attribute_map(log.attributes)
    assert (told["gen_ai.evaluation.name"], told["gen_ai.evaluation.score.value"]) == ("polite", 0.5)
    assert "gen_ai.evaluation.explanation" not in told
    thumb = log_of(Feedback(generation="gen_1", name="thumbs", value=1.0, comment="ta", **about), content=True)
    assert attribute_map(thumb.attributes)["gen_ai.evaluation.explanation"] == "ta"
    met = log_of(Exposure(release="sha256:1", release_number=3, unit="u", **about), content=False)
    assert (met.event_name, attribute_map(met.attributes)["feature_flag.result.variant"]) == (
        "feature_flag.evaluation",
        "reply#3",
    )


ARGUMENTS = st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5), max_size=3)
CALL = st.builds(
    lambda call, name, given: {
        "id": call,
        "type": "function",
        "function": {"name": name, "arguments": json.dumps(given, separators=(",", ":"), ensure_ascii=False)},
    },
    st.text(max_size=5),
    st.text(max_size=5),
    ARGUMENTS,
)
MESSAGE = st.one_of(
    st.builds(lambda role, text: {"role": role, "content": text}, st.sampled_from(["system", "user"]), st.text()),
    st.builds(
        lambda text, calls: {"role": "assistant", "content": text, **({"tool_calls": calls} if calls else {})},
        st.text(),
        st.lists(CALL, max_size=2),
    ),
    st.builds(lambda call, text: {"role": "tool", "tool_call_id": call, "content": text}, st.text(), st.text()),
)


@given(st.lists(MESSAGE, max_size=4))
def test_a_chat_survives_the_way_to_parts_and_back(messages: list[dict[str, Any]]) -> None:
    assert from_parts(to_parts(messages)) == messages


@pytest.mark.parametrize(
    "message",
    [
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": "u"}}]},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "n", "input": {"a": 1}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "42"}]},
        {"role": "user", "content": [{"type": "input_text", "text": "a"}]},
        {"type": "function_call", "call_id": "c", "name": "n", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": "42"},
        {"type": "reasoning", "summary": []},
        {"role": "assistant", "content": None},
        {"role": "user", "content": ["bare"]},
    ],
)
def test_every_format_of_a_prompt_has_parts(message: dict[str, Any]) -> None:
    (made,) = to_parts([message])
    assert made["role"]
    assert all(isinstance(part["type"], str) for part in made["parts"])


def test_an_empty_answer_is_still_one() -> None:
    assert output_parts("", [], "length") == [{"role": "assistant", "parts": [], "finish_reason": "length"}]
