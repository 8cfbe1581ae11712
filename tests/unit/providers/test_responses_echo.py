"""A translated response repeats its request as OpenAI's own do, with what the release pins."""

from __future__ import annotations

from typing import Any

import pytest
from openai.types.responses import Response

from trimtab.artifacts.model import (
    ModelContent,
    PromptContent,
    PromptMessage,
    SchemaContent,
    ToolDefinition,
    ToolsContent,
)
from trimtab.providers.responses import RequestEcho, from_chat_completion
from trimtab.releases.model import CompiledRelease

COMPLETION = b"""{"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [{"index": 0,
"finish_reason": "stop", "message": {"role": "assistant", "content": "Hi."}}]}"""
SCHEMA = {"type": "object", "properties": {}}


def release(parameters: dict[str, Any] | None = None, **parts: Any) -> CompiledRelease:
    prompt = PromptContent(messages=[PromptMessage(role="system", content="A secret.")], variables={})
    model = ModelContent(provider="openai", model="m", parameters=parameters or {})
    return CompiledRelease(digest="sha256:1", feature="f", number=1, prompt=prompt, model=model, **parts)


def told(body: dict[str, Any], *, by: CompiledRelease | None = None) -> Response:
    echo = RequestEcho(by or release()).of({"model": "f", "input": "Hello.", **body})
    return Response.model_validate_json(from_chat_completion(COMPLETION, request=echo))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("instructions", "Be brief."),
        ("max_output_tokens", 40),
        ("metadata", {"ticket": "12"}),
        ("parallel_tool_calls", False),
        ("prompt_cache_key", "shop"),
        ("prompt_cache_retention", "24h"),
        ("safety_identifier", "user-7"),
        ("temperature", 0.3),
        ("tool_choice", "required"),
        ("top_logprobs", 2),
        ("top_p", 0.9),
        ("user", "user-7"),
    ],
)
def test_what_the_caller_said_is_repeated(name: str, value: object) -> None:
    assert getattr(told({name: value}), name) == value


def test_what_the_caller_did_not_say_is_told_as_it_is_by_default() -> None:
    response = told({"tools": None, "text": None, "reasoning": None, "metadata": None, "tool_choice": None})
    assert (response.instructions, response.temperature, response.metadata) == (None, None, {})
    assert (response.tools, response.tool_choice, response.parallel_tool_calls) == ([], "auto", True)
    assert response.text
    assert response.text.format
    assert response.text.format.type == "text"
    assert response.reasoning
    assert response.reasoning.effort is None


def test_a_part_of_text_or_reasoning_leaves_the_rest_as_it_is() -> None:
    response = told({"text": {"verbosity": "low"}, "reasoning": {"effort": "high"}})
    assert response.text
    assert response.reasoning
    assert response.text.to_dict() == {"format": {"type": "text"}, "verbosity": "low"}
    assert response.reasoning.to_dict() == {"effort": "high", "summary": None}


def test_a_tool_is_repeated_as_it_was_asked_of_the_model() -> None:
    tools = [
        {"type": "function", "name": "a", "parameters": SCHEMA},
        {"type": "function", "name": "b", "strict": True, "parameters": SCHEMA, "description": "Finds."},
    ]
    first, second = (tool.to_dict() for tool in told({"tools": tools}).tools)
    assert first == {"type": "function", "name": "a", "parameters": SCHEMA, "strict": False, "description": None}
    assert second == {"type": "function", "name": "b", "parameters": SCHEMA, "strict": True, "description": "Finds."}


def test_what_the_release_pins_is_told_in_the_words_of_responses_and_its_prompt_is_not() -> None:
    by = release(
        {"max_tokens": 50, "temperature": 0.2, "reasoning_effort": "low", "verbosity": "high", "seed": 4},
        tools=ToolsContent(tools=[ToolDefinition(name="find", description="Finds.", parameters=SCHEMA)]),
        schema=SchemaContent(name="verdict", schema=SCHEMA),
    )
    response = told({"metadata": {"a": "b"}}, by=by)
    assert (response.max_output_tokens, response.temperature, response.metadata) == (50, 0.2, {"a": "b"})
    assert response.reasoning
    assert response.reasoning.effort == "low"
    assert response.text
    assert response.text.to_dict() == {
        "format": {"type": "json_schema", "name": "verdict", "schema": SCHEMA, "strict": True},
        "verbosity": "high",
    }
    assert [tool.to_dict() for tool in response.tools] == [
        {"type": "function", "name": "find", "description": "Finds.", "parameters": SCHEMA, "strict": False}
    ]
    assert response.instructions is None
    assert "seed" not in response.to_dict()
