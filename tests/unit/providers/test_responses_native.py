from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.unit.providers.responses_requests import QUESTION, SCHEMA, refusal, release

from trimtab.artifacts.model import (
    SchemaContent,
    ToolDefinition,
    ToolsContent,
)
from trimtab.providers.responses import (
    ResponsesRequestBuilder,
    merge_request,
    recorded_messages,
    unit_of,
)

if TYPE_CHECKING:
    from trimtab.releases.model import CompiledRelease


def test_the_native_path_loses_nothing_and_puts_the_release_first() -> None:
    compiled = release(
        {"max_tokens": 300, "reasoning_effort": "low", "truncation": "auto"},
        ("system", "Be brief."),
        ("user", "An order:"),
        tools=ToolsContent(tools=[ToolDefinition(name="find", description="Finds", parameters=SCHEMA, strict=True)]),
        schema=SchemaContent(name="reply", schema=SCHEMA),
    )
    prompt = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "An order:"}]
    sent = [{"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "x"}, QUESTION]
    body = {
        "model": "support-reply",
        "input": sent,
        "include": ["reasoning.encrypted_content"],
        "reasoning": {"summary": "auto"},
        "text": {"verbosity": "low"},
        "store": True,
        "background": True,
        "trimtab": {"variables": {}},
    }
    request = ResponsesRequestBuilder(compiled).build(prompt, body)
    wanted = {"type": "json_schema", "name": "reply", "schema": SCHEMA, "strict": True}
    assert (
        request
        == merge_request(compiled, prompt, body)
        == {
            "model": "gpt-5.5",
            "instructions": "Be brief.",
            "input": [{"role": "user", "content": "An order:"}, *sent],
            "include": ["reasoning.encrypted_content"],
            "reasoning": {"summary": "auto", "effort": "low"},
            "text": {"verbosity": "low", "format": wanted},
            "store": True,
            "background": True,
            "truncation": "auto",
            "max_output_tokens": 300,
            "tools": [
                {"type": "function", "name": "find", "description": "Finds", "parameters": SCHEMA, "strict": True}
            ],
        }
    )
    assert recorded_messages(request) == [{"role": "system", "content": "Be brief."}, *request["input"]]
    assert recorded_messages({"input": "hi"}) == [{"role": "user", "content": "hi"}]


def test_one_system_message_does_not_pile_up_in_a_stored_conversation_and_more_is_refused() -> None:
    system = {"role": "system", "content": "Be brief."}
    body = {"input": "And B-2?", "previous_response_id": "resp_1"}
    assert merge_request(release({}, ("system", "Be brief.")), [system], body) == {
        "model": "gpt-5.5",
        "instructions": "Be brief.",
        **body,
    }
    assert refusal(merge_request, release(), [system, {"role": "user", "content": "Hi"}], body) == (
        "cannot_carry",
        "previous_response_id",
    )
    assert merge_request(release(), [], body) == {"model": "gpt-5.5", **body}


@pytest.mark.parametrize(
    ("compiled", "body", "refused"),
    [
        (release(), {"input": []}, ("no_messages", "input")),
        (release({"max_tokens": 1}), {"max_output_tokens": 1}, ("pinned_field", "max_output_tokens")),
        (release({"truncation": "auto"}), {"truncation": "disabled"}, ("pinned_field", "truncation")),
        (release({"seed": 4}), {}, ("cannot_carry", "model.parameters.seed")),
        (release({"stream": True}), {}, ("reserved_parameter", "model.parameters.stream")),
        (release({"store": True}), {}, ("reserved_parameter", "model.parameters.store")),
        (release({"temprature": 4}), {}, ("unknown_field", "model.parameters.temprature")),
        (release({}, ("user", "Hi")), {"prompt": {"id": "p"}}, ("pinned_field", "prompt")),
        (release({"verbosity": "low"}), {"text": "x"}, ("invalid_type", "text")),
    ],
)
def test_the_native_path_refuses_what_the_release_decides(
    compiled: CompiledRelease, body: dict[str, Any], refused: tuple[str, str]
) -> None:
    assert refusal(merge_request, compiled, [], {"input": "hi", **body}) == refused


def test_the_unit_is_the_user_else_the_safety_identifier_and_a_wrong_one_is_an_error() -> None:
    assert unit_of({"user": "u1", "safety_identifier": "s1"}) == "u1"
    assert unit_of({"safety_identifier": "s1", "user": None}) == "s1"
    assert unit_of({}) == ""
    assert refusal(unit_of, {"user": 7}) == ("invalid_type", "user")
