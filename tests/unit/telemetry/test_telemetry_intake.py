from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openinference.semconv.trace import (
    MessageAttributes,
    OpenInferenceSpanKindValues,
    SpanAttributes,
    ToolCallAttributes,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from trimtab.core.ids import id_time_ms, new_id
from trimtab.events import Generation, decode_event, encode_event
from trimtab.telemetry import dialects
from trimtab.telemetry.intake import IntakePlan, Known, Refused, Skipped, generation_of
from trimtab.telemetry.otlp_values import key_values
from trimtab.telemetry.spans import span_of

NOW_MS = 1_760_000_000_000
TRACE, SPAN = bytes.fromhex("4bf92f3577b34da6a3ce929d0e0e4736"), bytes.fromhex("00f067aa0ba902b7")
RESOURCE = {"service.name": "Order Bot"}
CHAT = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Where is my order?"}]
CALL = {"id": "c1", "type": "function", "function": {"name": "find", "arguments": '{"n":1}'}}


def span(attributes: dict[str, Any], events: dict[str, dict[str, Any]] | None = None, **fields: Any) -> Span:
    told: dict[str, Any] = {
        "trace_id": TRACE,
        "span_id": SPAN,
        "start_time_unix_nano": NOW_MS * 1_000_000,
        "end_time_unix_nano": (NOW_MS + 1500) * 1_000_000,
    }
    return Span(
        attributes=key_values(attributes),
        events=[Span.Event(name=name, attributes=key_values(one)) for name, one in (events or {}).items()],
        **(told | fields),
    )


def read(one: Span, **plan: Any) -> Generation | Skipped | Refused:
    return generation_of(one, RESOURCE, IntakePlan(process="otlp-1", **plan), lambda _feature, _name: None)


def recorded(one: Span, **plan: Any) -> Generation:
    found = read(one, **plan)
    assert isinstance(found, Generation), found
    return found


NOW_GEN_AI = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o-mini",
    "gen_ai.response.model": "gpt-4o-mini-2024-07-18",
    "gen_ai.usage.input_tokens": 11,
    "gen_ai.usage.output_tokens": 7,
    "gen_ai.response.finish_reasons": ["stop"],
    "gen_ai.system_instructions": json.dumps([{"type": "text", "content": "Be brief."}]),
    "gen_ai.input.messages": json.dumps(
        [{"role": "user", "parts": [{"type": "text", "content": "Where is my order?"}]}]
    ),
    "gen_ai.output.messages": json.dumps(
        [
            {
                "role": "assistant",
                "parts": [
                    {"type": "text", "content": "On its way."},
                    {"type": "tool_call", "id": "c1", "name": "find", "arguments": {"n": 1}},
                ],
                "finish_reason": "stop",
            }
        ]
    ),
}
OLD_GEN_AI = {
    "gen_ai.system": "openai",
    "gen_ai.request.model": "gpt-4o-mini",
    "gen_ai.response.model": "gpt-4o-mini-2024-07-18",
    "gen_ai.usage.prompt_tokens": 11,
    "gen_ai.usage.completion_tokens": 7,
    "llm.request.type": "chat",
    "gen_ai.prompt.0.role": "system",
    "gen_ai.prompt.0.content": "Be brief.",
    "gen_ai.prompt.1.role": "user",
    "gen_ai.prompt.1.content": "Where is my order?",
    "gen_ai.completion.0.role": "assistant",
    "gen_ai.completion.0.content": "On its way.",
    "gen_ai.completion.0.finish_reason": "stop",
    "gen_ai.completion.0.tool_calls.0.id": "c1",
    "gen_ai.completion.0.tool_calls.0.name": "find",
    "gen_ai.completion.0.tool_calls.0.arguments": '{"n":1}',
}
OPENINFERENCE = {
    SpanAttributes.OPENINFERENCE_SPAN_KIND: OpenInferenceSpanKindValues.LLM.value,
    SpanAttributes.LLM_PROVIDER: "openai",
    SpanAttributes.LLM_REQUEST_MODEL_NAME: "gpt-4o-mini",
    SpanAttributes.LLM_RESPONSE_MODEL_NAME: "gpt-4o-mini-2024-07-18",
    SpanAttributes.LLM_TOKEN_COUNT_PROMPT: 11,
    SpanAttributes.LLM_TOKEN_COUNT_COMPLETION: 7,
    SpanAttributes.LLM_FINISH_REASON: "stop",
    f"{SpanAttributes.LLM_INPUT_MESSAGES}.0.{MessageAttributes.MESSAGE_ROLE}": "system",
    f"{SpanAttributes.LLM_INPUT_MESSAGES}.0.{MessageAttributes.MESSAGE_CONTENT}": "Be brief.",
    f"{SpanAttributes.LLM_INPUT_MESSAGES}.1.{MessageAttributes.MESSAGE_ROLE}": "user",
    f"{SpanAttributes.LLM_INPUT_MESSAGES}.1.{MessageAttributes.MESSAGE_CONTENT}": "Where is my order?",
    SpanAttributes.INPUT_VALUE: '{"messages": "as the client sent them"}',
    f"{SpanAttributes.LLM_OUTPUT_MESSAGES}.0.{MessageAttributes.MESSAGE_ROLE}": "assistant",
    f"{SpanAttributes.LLM_OUTPUT_MESSAGES}.0.{MessageAttributes.MESSAGE_CONTENT}": "On its way.",
    f"{SpanAttributes.LLM_OUTPUT_MESSAGES}.0.{MessageAttributes.MESSAGE_TOOL_CALLS}.0."
    f"{ToolCallAttributes.TOOL_CALL_ID}": "c1",
    f"{SpanAttributes.LLM_OUTPUT_MESSAGES}.0.{MessageAttributes.MESSAGE_TOOL_CALLS}.0."
    f"{ToolCallAttributes.TOOL_CALL_FUNCTION_NAME}": "find",
    f"{SpanAttributes.LLM_OUTPUT_MESSAGES}.0.{MessageAttributes.MESSAGE_TOOL_CALLS}.0."
    f"{ToolCallAttributes.TOOL_CALL_FUNCTION_ARGUMENTS_JSON}": '{"n":1}',
}
LANGFUSE = {
    "langfuse.observation.type": "generation",
    "langfuse.observation.model.name": "gpt-4o-mini",
    "gen_ai.response.model": "gpt-4o-mini-2024-07-18",
    "gen_ai.provider.name": "openai",
    "langfuse.observation.usage_details": '{"input": 11, "output": 7, "total": 18}',
    "langfuse.observation.cost_details": '{"total": 0.5}',
    "langfuse.observation.input": json.dumps(CHAT),
    "langfuse.observation.output": json.dumps(
        {"role": "assistant", "content": "On its way.", "tool_calls": [CALL], "finish_reason": "stop"}
    ),
    "langfuse.trace.name": "order",
    "user.id": "u1",
}


@pytest.mark.parametrize("told", [NOW_GEN_AI, OLD_GEN_AI, OPENINFERENCE, LANGFUSE])
def test_every_dialect_tells_the_same_call(told: dict[str, Any]) -> None:
    call = recorded(span(told, parent_span_id=SPAN[::-1]))
    assert (call.feature, call.environment, call.format, call.status) == ("order-bot", "production", "chat", "ok")
    assert (call.provider, call.requested_model, call.served_model) == (
        "openai",
        "gpt-4o-mini",
        "gpt-4o-mini-2024-07-18",
    )
    assert (call.input_tokens, call.output_tokens, call.finish_reason) == (11, 7, "stop")
    assert (call.at_ms, call.latency_ms) == (NOW_MS, 1500.0)
    assert (call.trace, call.parent_span, call.id[-16:]) == (TRACE.hex(), SPAN[::-1].hex(), SPAN.hex())
    assert (call.messages, call.output, call.tool_calls) == (CHAT, "On its way.", [CALL])
    assert decode_event(encode_event(call)) == call
    bare = recorded(span(told), content=False)
    assert (bare.messages, bare.output, bare.tool_calls) == ([], "", [])
    assert bare.input_tokens == 11


def test_the_names_are_those_of_the_packages_that_use_them() -> None:
    assert SpanAttributes.OPENINFERENCE_SPAN_KIND in dialects.KIND
    assert {SpanAttributes.LLM_MODEL_NAME, SpanAttributes.EMBEDDING_MODEL_NAME} <= set(dialects.REQUEST_MODEL)
    assert SpanAttributes.INPUT_VALUE in dialects.INPUTS
    assert SpanAttributes.OUTPUT_VALUE in dialects.OUTPUTS
    assert SpanAttributes.USER_ID in dialects.UNIT
    assert SpanAttributes.LLM_COST_TOTAL in dialects.COST
    assert {one.value for one in OpenInferenceSpanKindValues} & dialects.CALLS.keys() == {"LLM", "EMBEDDING"}


COMPLETION = '{"choices": [{"message": {"role": "assistant", "content": "y"}, "finish_reason": "length"}]}'


@pytest.mark.parametrize(
    ("told", "prompt", "output"),
    [
        ({"input.value": "plain", "output.value": "text"}, [{"role": "user", "content": "plain"}], "text"),
        ({"langfuse.observation.input": '"quoted"'}, [{"role": "user", "content": "quoted"}], ""),
        ({"langfuse.observation.input": '{"a": 1}'}, [{"role": "user", "content": '{"a":1}'}], ""),
        ({"gen_ai.prompt": '[{"role": "user", "content": "x"}]'}, [{"role": "user", "content": "x"}], ""),
        ({"gen_ai.prompt": "{broken"}, [{"role": "user", "content": "{broken"}], ""),
        ({"output.value": COMPLETION}, [], "y"),
    ],
)
def test_prompts_and_answers_in_whatever_form(told: dict[str, Any], prompt: list[Any], output: str) -> None:
    call = recorded(span({"gen_ai.operation.name": "chat"} | told))
    assert (call.messages, call.output) == (prompt, output)


def test_events_of_older_conventions_hold_the_prompt() -> None:
    told = {"gen_ai.system": "openai", "gen_ai.request.model": "m"}
    events = {
        "gen_ai.system.message": {"content": "Be brief."},
        "gen_ai.user.message": {"content": "Where is my order?"},
    }
    assert recorded(span(told, events)).messages == CHAT
    whole = {"gen_ai.content.prompt": {"gen_ai.prompt": json.dumps(CHAT)}}
    assert recorded(span(told, whole)).messages == CHAT


def test_what_failed_is_an_error_with_its_type() -> None:
    told = {"gen_ai.operation.name": "chat", "error.type": "timeout"}
    failed = recorded(span(told, status=Status(code=Status.STATUS_CODE_ERROR)))
    assert (failed.status, failed.error_code) == ("error", "timeout")
    raised = recorded(
        span(
            {"gen_ai.operation.name": "chat"},
            {"exception": {"exception.type": "RateLimitError", "exception.message": "private"}},
            status=Status(code=Status.STATUS_CODE_ERROR, message="private"),
        )
    )
    assert raised.error_code == "RateLimitError"
    assert recorded(span({"langfuse.observation.type": "generation", "langfuse.observation.level": "ERROR"})).error_code


def test_the_release_is_the_one_that_the_span_or_its_flag_names() -> None:
    asked: list[tuple[str, str]] = []

    def find(feature: str, name: str) -> Known | None:
        asked.append((feature, name))
        return Known("sha256:42", 42) if name in {"42", "sha256:42"} else None

    def release(told: dict[str, Any], events: dict[str, dict[str, Any]] | None = None) -> tuple[str, int]:
        one = span({"gen_ai.operation.name": "chat", "trimtab.feature": "reply"} | told, events)
        call = generation_of(one, RESOURCE, IntakePlan(), find)
        assert isinstance(call, Generation)
        return call.release, call.release_number

    known = ("sha256:42", 42)
    assert release({"trimtab.release": "reply#42"}) == known
    assert release({"trimtab.release.digest": "sha256:42", "trimtab.arm": "candidate"}) == known
    flag = {"feature_flag.key": "reply", "feature_flag.result.variant": "reply#42"}
    assert release({}, {"feature_flag.evaluation": flag}) == known
    assert release(flag) == known
    assert release({}, {"feature_flag.evaluation": flag | {"feature_flag.key": "other"}}) == ("", 0)
    assert release({"trimtab.release": "reply#7"}) == ("", 0)
    assert {feature for feature, _ in asked} == {"reply"}


@pytest.mark.parametrize(
    "told",
    [
        {"http.request.method": "GET"},
        {"gen_ai.operation.name": "execute_tool", "gen_ai.provider.name": "openai", "gen_ai.request.model": "m"},
        {"openinference.span.kind": "CHAIN", "llm.model_name": "m"},
        {"langfuse.observation.type": "span", "gen_ai.request.model": "m"},
    ],
)
def test_what_is_no_model_call_is_left_out(told: dict[str, Any]) -> None:
    assert read(span(told)) == Skipped("no_call")


def test_what_trimtab_itself_sent_does_not_come_back() -> None:
    ours = Generation(
        id=new_id("gen", NOW_MS),
        at_ms=NOW_MS,
        feature="f",
        environment="production",
        release="sha256:1",
        provider="openai",
    )
    assert read(span_of(ours, content=True)) == Skipped("own")


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"trace_id": b"short"}, "its ids are none"),
        ({"span_id": b""}, "its ids are none"),
        ({"start_time_unix_nano": 0}, "its times are none"),
        ({"end_time_unix_nano": 1}, "its times are none"),
    ],
)
def test_what_cannot_be_recorded_says_why(fields: dict[str, Any], why: str) -> None:
    assert read(span({"gen_ai.operation.name": "chat"}, **fields)) == Refused(why)


def test_a_call_without_a_feature_is_refused_with_where_it_was_looked_for() -> None:
    found = generation_of(span({"gen_ai.operation.name": "chat"}), {}, IntakePlan(), lambda _feature, _name: None)
    assert found == Refused("it names no feature: trimtab.feature, service.name")


def test_a_span_that_is_sent_twice_is_one_generation() -> None:
    first, second = recorded(span(NOW_GEN_AI)), recorded(span(NOW_GEN_AI))
    assert first == second
    assert id_time_ms(first.id) == NOW_MS
    other = recorded(span(NOW_GEN_AI, trace_id=TRACE[::-1]))
    assert other.id != first.id


VALUES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats()
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=3), max_size=3)
)
NAMES = sorted(
    {
        *NOW_GEN_AI,
        *OLD_GEN_AI,
        *OPENINFERENCE,
        *LANGFUSE,
        *dialects.UNIT,
        *dialects.ENVIRONMENT,
        "trimtab.arm",
        "trimtab.release",
        "gen_ai.response.time_to_first_chunk",
        "trimtab.attribute.x",
        "langfuse.observation.completion_start_time",
        "gen_ai.prompt.9999999999.role",
        "gen_ai.prompt..x",
    }
)


@given(st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=12))
def test_whatever_attributes_hold_is_recorded_or_refused_and_never_raises(told: dict[str, Any]) -> None:
    found = read(span({"gen_ai.operation.name": "chat"} | told))
    if isinstance(found, Generation):
        assert decode_event(encode_event(found)) == found
