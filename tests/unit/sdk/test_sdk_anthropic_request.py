from __future__ import annotations

from typing import Any

import pytest

from trimtab.artifacts.model import ModelContent, PromptContent, SchemaContent, ToolDefinition, ToolsContent
from trimtab.core.errors import InputError
from trimtab.releases.model import CompiledRelease
from trimtab.sdk.anthropic_request import anthropic_unit, merge_messages_request

ACCEPTED = frozenset({"model", "messages", "system", "max_tokens", "tools", "tool_choice", "stop_sequences", "stream"})
PROMPT = [{"role": "system", "content": "Be brief."}]
QUESTION = {"role": "user", "content": "Where is my order?"}


def release(parameters: dict[str, Any] | None = None, **changes: Any) -> CompiledRelease:
    model = ModelContent(
        provider="anthropic",
        model="claude-sonnet-4-5",
        parameters={"max_tokens": 300} if parameters is None else parameters,
    )
    fields: dict[str, Any] = {
        "digest": "sha256:" + "b" * 64,
        "feature": "support-reply",
        "number": 4,
        "prompt": PromptContent(messages=[], variables={}),
        "model": model,
    }
    return CompiledRelease(**fields | changes)


def merge(
    caller: dict[str, Any], compiled: CompiledRelease | None = None, prompt: list[dict[str, Any]] | None = None
) -> dict[str, Any]:
    return merge_messages_request(
        compiled or release(), PROMPT if prompt is None else prompt, caller, accepted=ACCEPTED | {"output_config"}
    ).arguments


def test_system_messages_of_the_release_go_to_system() -> None:
    assert merge({"model": "support-reply", "messages": [QUESTION]}) == {
        "model": "claude-sonnet-4-5",
        "messages": [QUESTION],
        "system": "Be brief.",
        "max_tokens": 300,
    }


def test_the_caller_may_give_a_system_prompt_only_where_the_release_has_none() -> None:
    with pytest.raises(InputError) as caught:
        merge({"messages": [QUESTION], "system": "The customer is upset."})
    assert (caught.value.code, caught.value.param) == ("pinned_field", "system")
    assert merge({"messages": [QUESTION], "system": "Be kind."}, prompt=[])["system"] == "Be kind."


def test_several_system_messages_stay_apart() -> None:
    prompt = [{"role": "system", "content": "one"}, {"role": "developer", "content": "two"}]
    assert merge({"messages": [QUESTION]}, prompt=prompt)["system"] == [
        {"type": "text", "text": "one"},
        {"type": "text", "text": "two"},
    ]


def test_a_system_message_after_the_first_turn_cannot_be_carried() -> None:
    prompt = [{"role": "user", "content": "hi"}, {"role": "system", "content": "late"}]
    with pytest.raises(InputError) as caught:
        merge({"messages": []}, prompt=prompt)
    assert (caught.value.code, caught.value.param) == ("cannot_carry", "prompt.messages[1].role")


def test_max_tokens_is_required_from_either_side() -> None:
    with pytest.raises(InputError) as caught:
        merge({"messages": [QUESTION]}, release({}))
    assert caught.value.code == "missing_max_tokens"
    assert merge({"messages": [QUESTION], "max_tokens": 9}, release({}))["max_tokens"] == 9
    with pytest.raises(InputError, match="pins `max_tokens`"):
        merge({"messages": [QUESTION], "max_tokens": 9})


def test_openai_parameter_names_are_translated() -> None:
    parameters = {"max_completion_tokens": 7, "stop": "END", "tool_choice": "required", "parallel_tool_calls": False}
    arguments = merge({"messages": [QUESTION]}, release(parameters))
    assert arguments["max_tokens"] == 7
    assert arguments["stop_sequences"] == ["END"]
    assert arguments["tool_choice"] == {"type": "any", "disable_parallel_tool_use": True}


def test_a_translated_name_is_pinned_under_anthropics_name() -> None:
    with pytest.raises(InputError, match="pins `stop_sequences`"):
        merge({"messages": [QUESTION], "stop_sequences": ["X"]}, release({"max_tokens": 1, "stop": "END"}))


def test_sampling_parameters_the_client_dropped_from_its_signature_travel_in_the_body() -> None:
    arguments = merge({"messages": [QUESTION]}, release({"max_tokens": 1, "temperature": 0.5}))
    assert arguments["extra_body"] == {"temperature": 0.5}


@pytest.mark.parametrize(
    ("parameters", "param"),
    [
        ({"seed": 1}, "model.parameters.seed"),
        ({"temperature": 1.5}, "model.parameters.temperature"),
        ({"max_tokens": 1, "max_completion_tokens": 2}, "model.parameters.max_completion_tokens"),
        ({"tool_choice": "sometimes"}, "model.parameters.tool_choice"),
    ],
)
def test_what_the_messages_api_cannot_say_is_an_error_that_names_it(parameters: dict[str, Any], param: str) -> None:
    with pytest.raises(InputError) as caught:
        merge({"messages": [QUESTION]}, release(parameters))
    assert (caught.value.code, caught.value.param) == ("cannot_carry", param)


def test_tools_are_translated() -> None:
    tools = ToolsContent(tools=[ToolDefinition(name="find", description="Finds", parameters={"type": "object"})])
    assert merge({"messages": [QUESTION]}, release(tools=tools))["tools"] == [
        {"name": "find", "description": "Finds", "input_schema": {"type": "object"}}
    ]


def test_a_strict_schema_becomes_the_output_format_beside_the_callers_effort() -> None:
    compiled = release(schema=SchemaContent(name="reply", schema={"type": "object"}))
    arguments = merge({"messages": [QUESTION], "output_config": {"effort": "low"}}, compiled)
    assert arguments["output_config"] == {
        "effort": "low",
        "format": {"type": "json_schema", "schema": {"type": "object"}},
    }


@pytest.mark.parametrize(
    "caller",
    [{"output_config": {"format": {}}}, {"output_format": dict}, {"extra_body": {"output_config": {"format": {}}}}],
)
def test_the_format_of_a_schema_cannot_be_replaced(caller: dict[str, Any]) -> None:
    compiled = release(schema=SchemaContent(name="reply", schema={"type": "object"}))
    with pytest.raises(InputError) as caught:
        merge({"messages": [QUESTION], **caller}, compiled)
    assert caught.value.code == "pinned_field"


def test_a_schema_that_is_not_strict_cannot_be_carried() -> None:
    compiled = release(schema=SchemaContent(name="reply", schema={}, strict=False))
    with pytest.raises(InputError) as caught:
        merge({"messages": [QUESTION]}, compiled)
    assert (caught.value.code, caught.value.param) == ("cannot_carry", "schema.strict")


def test_a_release_of_openai_is_refused_by_an_anthropic_client() -> None:
    with pytest.raises(InputError) as caught:
        merge({"messages": [QUESTION]}, release(model=ModelContent(provider="openai", model="gpt-4o")))
    assert caught.value.param == "model.provider"


def test_the_unit_is_the_user_id_in_the_metadata() -> None:
    assert anthropic_unit({"metadata": {"user_id": "u1"}}) == "u1"
    assert anthropic_unit({}) == ""
