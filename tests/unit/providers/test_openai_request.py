from __future__ import annotations

from typing import Any

import pytest

from trimtab.artifacts.model import (
    ModelContent,
    PromptContent,
    PromptMessage,
    SchemaContent,
    ToolDefinition,
    ToolsContent,
)
from trimtab.core.errors import InputError
from trimtab.providers.openai import build_embeddings_request, build_request, wants_usage
from trimtab.releases.model import CompiledRelease

SYSTEM = [{"role": "system", "content": "Be brief."}]
USER: list[dict[str, Any]] = [{"role": "user", "content": "Hi"}]


def release(parameters: dict[str, Any] | None = None, **parts: Any) -> CompiledRelease:
    prompt = PromptContent(messages=[PromptMessage(role="system", content="Be brief.")], variables={})
    model = ModelContent(provider="openai", model="gpt-x", parameters=parameters or {})
    return CompiledRelease(digest="sha256:0", feature="f", number=3, prompt=prompt, model=model, **parts)


def refused(body: dict[str, Any], parameters: dict[str, Any] | None = None, **parts: Any) -> InputError:
    with pytest.raises(InputError) as raised:
        build_request(release(parameters, **parts), SYSTEM, {"model": "f", "messages": USER, **body})
    return raised.value


def test_the_release_sets_what_it_pins_and_the_caller_the_rest() -> None:
    pinned = release(
        {"temperature": 0.1},
        tools=ToolsContent(
            tools=[ToolDefinition(name="t", description="d", parameters={"type": "object"}, strict=True)]
        ),
        schema=SchemaContent(name="s", schema={"type": "object"}),
    )
    body = {"model": "f", "messages": USER, "top_p": 0.3, "user": "u", "trimtab": {"variables": {}}}
    assert build_request(pinned, SYSTEM, body) == {
        "model": "gpt-x",
        "messages": [*SYSTEM, *USER],
        "temperature": 0.1,
        "top_p": 0.3,
        "user": "u",
        "tools": [
            {
                "type": "function",
                "function": {"name": "t", "description": "d", "parameters": {"type": "object"}, "strict": True},
            }
        ],
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "s", "schema": {"type": "object"}, "strict": True},
        },
    }


@pytest.mark.parametrize(
    ("parameters", "body", "param"),
    [
        ({"temperature": 0.1}, {"temperature": 0.1}, "temperature"),
        ({"max_tokens": 9}, {"max_completion_tokens": 9}, "max_completion_tokens"),
        ({"max_completion_tokens": 9}, {"max_tokens": 9}, "max_tokens"),
        ({}, {"messages": [*USER, {"role": "developer", "content": "x"}]}, "messages[1].role"),
        ({}, {"messages": [{"role": "system", "content": "x"}]}, "messages[0].role"),
    ],
)
def test_a_caller_cannot_set_what_the_release_pins(
    parameters: dict[str, Any], body: dict[str, Any], param: str
) -> None:
    error = refused(body, parameters)
    assert (error.code, error.param) == ("pinned_field", param)
    assert "f#3" in error.message


def test_pinned_tools_and_schemas_bar_their_older_spellings_too() -> None:
    tools = ToolsContent(tools=[ToolDefinition(name="t")])
    for field in ("tools", "functions", "function_call"):
        assert refused({field: []}, tools=tools).param == field
    schema = SchemaContent(name="s", schema={})
    assert refused({"response_format": {"type": "text"}}, schema=schema).param == "response_format"


def test_a_field_that_is_none_of_openais_is_named_with_its_nearest() -> None:
    error = refused({"temperatur": 1})
    assert (error.code, error.param) == ("unknown_field", "temperatur")
    assert error.hint == "did you mean `temperature`?"
    assert refused({"top_k": 1}).code == "unknown_field"


@pytest.mark.parametrize(
    ("messages", "code"), [("hi", "invalid_type"), (["hi"], "invalid_type"), ([{"content": "x"}], "invalid_type")]
)
def test_messages_that_are_none_are_refused(messages: Any, code: str) -> None:
    assert refused({"messages": messages}).code == code


def test_a_caller_may_leave_the_messages_to_the_release_but_somebody_must_speak() -> None:
    assert build_request(release(), SYSTEM, {"model": "f", "messages": []})["messages"] == SYSTEM
    assert build_request(release(), SYSTEM, {"model": "f"})["messages"] == SYSTEM
    with pytest.raises(InputError, match="neither"):
        build_request(release(), [], {"model": "f", "messages": []})


def test_a_stream_always_asks_for_usage_and_keeps_the_callers_options() -> None:
    body = {"model": "f", "messages": USER, "stream": True, "stream_options": {"include_obfuscation": False}}
    assert build_request(release(), SYSTEM, body)["stream_options"] == {
        "include_obfuscation": False,
        "include_usage": True,
    }
    assert not wants_usage(body)
    assert wants_usage({"stream_options": {"include_usage": True}})
    assert refused({"stream": True, "stream_options": "x"}).param == "stream_options"


def test_the_callers_body_is_left_as_it_was() -> None:
    body = {"model": "f", "messages": USER, "stream": True, "trimtab": {}}
    before = dict(body)
    build_request(release({"temperature": 1}), SYSTEM, body)
    assert body == before


@pytest.mark.parametrize("name", ["stream", "messages", "model"])
def test_a_release_cannot_pin_what_every_call_decides(name: str) -> None:
    error = refused({}, {name: True})
    assert (error.code, error.param) == ("reserved_parameter", f"model.parameters.{name}")


def test_embeddings_take_their_own_fields() -> None:
    pinned = release({"dimensions": 3})
    assert build_embeddings_request(pinned, {"model": "f", "input": "x", "encoding_format": "base64"}) == {
        "input": "x",
        "encoding_format": "base64",
        "dimensions": 3,
        "model": "gpt-x",
    }
    for body, param in (({"input": "x", "dimensions": 4}, "dimensions"), ({}, "input"), ({"input": "x", "n": 1}, "n")):
        with pytest.raises(InputError) as raised:
            build_embeddings_request(pinned, {"model": "f", **body})
        assert raised.value.param == param
