from __future__ import annotations

from typing import Any

import pytest
from tests.unit.providers.anthropic_requests import QUESTION, SCHEMA, TEXT, refusal, release, turn

from trimtab.artifacts.model import (
    SchemaContent,
    ToolDefinition,
    ToolsContent,
)
from trimtab.providers.anthropic import (
    MessagesRequestBuilder,
    merge_request,
    recorded_messages,
    unit_of,
    without_met_ceiling,
)


def test_the_native_path_loses_nothing_and_puts_the_release_first() -> None:
    compiled = release(
        {"max_tokens": 300, "reasoning_effort": "low"},
        tools=ToolsContent(tools=[ToolDefinition(name="find", description="Finds", parameters=SCHEMA, strict=True)]),
        schema=SchemaContent(name="reply", schema=SCHEMA),
    )
    prompt = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "An order:"}]
    cached = turn({**TEXT, "cache_control": {"type": "ephemeral", "ttl": "1h"}}, {"type": "document", "source": {}})
    body = {
        "model": "support-reply",
        **cached,
        "thinking": {"type": "adaptive"},
        "stream": True,
        "trimtab": {"variables": {}},
        "output_config": {"task_budget": {"type": "tokens", "total": 9}},
    }
    request = MessagesRequestBuilder(compiled).build(prompt, body)
    assert (
        request
        == merge_request(compiled, prompt, body)
        == {
            "model": "claude-sonnet-4-5",
            "system": "Be brief.",
            "messages": [{"role": "user", "content": "An order:"}, *cached["messages"]],
            "thinking": {"type": "adaptive"},
            "stream": True,
            "max_tokens": 300,
            "tools": [{"name": "find", "description": "Finds", "input_schema": SCHEMA, "strict": True}],
            "output_config": {
                "task_budget": {"type": "tokens", "total": 9},
                "effort": "low",
                "format": {"type": "json_schema", "schema": SCHEMA},
            },
        }
    )
    assert recorded_messages(request) == [{"role": "system", "content": "Be brief."}, *request["messages"]]


@pytest.mark.parametrize(
    ("parameters", "body", "refused"),
    [
        ({}, {}, ("missing_max_tokens", "max_tokens")),
        ({"max_tokens": 1}, {"messages": []}, ("no_messages", "messages")),
        ({"max_tokens": 1}, {"max_tokens": 1}, ("pinned_field", "max_tokens")),
        ({"max_tokens": 1, "reasoning_effort": "low"}, {"output_config": {"effort": "max"}},
         ("pinned_field", "output_config.effort")),
        ({"max_tokens": 1, "seed": 4}, {}, ("cannot_carry", "model.parameters.seed")),
        ({"max_tokens": 1, "stream": True}, {}, ("reserved_parameter", "model.parameters.stream")),
        ({"max_tokens": 1, "maximum": 4}, {}, ("unknown_field", "model.parameters.maximum")),
    ],
)  # fmt: skip
def test_the_native_path_refuses_what_the_release_decides(
    parameters: dict[str, Any], body: dict[str, Any], refused: tuple[str, str]
) -> None:
    assert refusal(merge_request, release(parameters), [], {"messages": [QUESTION], **body}) == refused


@pytest.mark.parametrize(
    ("system", "param"), [(3, "system"), ({}, "system"), (["Be brief."], "system[0]"), ([{}, None], "system[1]")]
)
def test_a_system_prompt_that_is_none_is_named(system: Any, param: str) -> None:
    body = {"messages": [QUESTION], "system": system}
    assert refusal(merge_request, release({"max_tokens": 1}), [], body) == ("invalid_type", param)


def test_a_callers_ceiling_that_the_release_keeps_anyway_is_met() -> None:
    assert without_met_ceiling({"max_tokens": 300, "top_p": 1}, {"max_tokens": 300}) == {"top_p": 1}
    assert without_met_ceiling({"max_tokens": 300}, {"max_completion_tokens": 200}) == {}
    assert without_met_ceiling({"max_tokens": 100}, {"max_tokens": 200}) == {"max_tokens": 100}
    assert without_met_ceiling({"max_tokens": "300"}, {"max_tokens": 200}) == {"max_tokens": "300"}
    assert without_met_ceiling({"max_tokens": 100}, {}) == {"max_tokens": 100}


def test_the_unit_is_the_user_id_and_a_wrong_one_is_an_error() -> None:
    assert unit_of({"metadata": {"user_id": "u1"}}) == "u1"
    assert unit_of({}) == unit_of({"metadata": None}) == unit_of({"metadata": {"user_id": None}}) == ""
    assert refusal(unit_of, {"metadata": {"user_id": 7}}) == ("invalid_type", "metadata.user_id")
    assert refusal(unit_of, {"metadata": "u1"}) == ("invalid_type", "metadata")
