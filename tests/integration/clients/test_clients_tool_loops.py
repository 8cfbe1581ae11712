"""Tools by the stock Python clients: the call, its result and the answer to it, streamed and not, from models called by
each API."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import anthropic
import openai
import pydantic
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

EXTRA = {"trimtab": {"variables": {"shop": "Acme"}}}
ASK: list[Any] = [{"role": "user", "content": "Where is order A-1007?"}]
RESULT = '{"carrier":"Blue Ox"}'


class Order(pydantic.BaseModel):
    """Finds an order."""

    order_id: str


@pytest.fixture
def claude(here: Any) -> Iterator[anthropic.Anthropic]:
    """Anthropic's client of the gateway."""
    base = here.base_url.removesuffix("/v1")
    with anthropic.Anthropic(api_key="none", base_url=base, max_retries=0) as made:
        yield made


@pytest.mark.parametrize("stream", [False, True])
def test_chat_by_openai_python(here: Any, *, stream: bool) -> None:
    chat = here.client().chat.completions
    asked: dict[str, Any] = {
        "model": "support-reply",
        "max_completion_tokens": 300,
        "tools": [openai.pydantic_function_tool(Order, name="find_order")],
        "extra_body": EXTRA,
    }

    def say(messages: list[Any]) -> Any:
        if not stream:
            return chat.parse(messages=messages, **asked)
        with chat.stream(messages=messages, stream_options={"include_usage": True}, **asked) as opened:
            return opened.get_final_completion()

    called = say(ASK)
    message = called.choices[0].message
    (call,) = message.tool_calls
    assert call.function.parsed_arguments == Order(order_id="A-1007")
    answered = say([*ASK, message, {"role": "tool", "tool_call_id": call.id, "content": RESULT}])
    assert [said.choices[0].finish_reason for said in (called, answered)] == ["tool_calls", "stop"]
    assert min(called.usage.completion_tokens, answered.usage.completion_tokens) > 0
    check(here.generations(2), call.id, answered.choices[0].message.content, stream=stream)


@pytest.mark.parametrize("stream", [False, True])
def test_responses_by_openai_python(here: Any, *, stream: bool) -> None:
    responses = here.client().responses
    tool = {**openai.pydantic_function_tool(Order, name="find_order")["function"], "type": "function"}
    asked: dict[str, Any] = {
        "model": "support-reply",
        "max_output_tokens": 300,
        "tools": [tool],
        "extra_body": EXTRA,
    }

    def say(items: list[Any]) -> Any:
        if not stream:
            return responses.parse(input=items, **asked)
        with responses.stream(input=items, **asked) as opened:
            return opened.get_final_response()

    called = say(ASK)
    (call,) = called.output
    assert json.loads(call.arguments) == {"order_id": "A-1007"}
    result = {"type": "function_call_output", "call_id": call.call_id, "output": RESULT}
    answered = say([*ASK, *called.output, result])
    assert min(called.usage.output_tokens, answered.usage.output_tokens) > 0
    check(here.generations(2), call.call_id, answered.output_text, stream=stream)


@pytest.mark.parametrize("stream", [False, True])
def test_messages_by_anthropic_python(here: Any, claude: anthropic.Anthropic, *, stream: bool) -> None:
    asked: dict[str, Any] = {
        "model": "support-reply",
        "max_tokens": 300,
        "tools": [{"name": "find_order", "description": "Finds an order.", "input_schema": Order.model_json_schema()}],
        "extra_body": EXTRA,
    }

    def say(messages: list[Any]) -> Any:
        if not stream:
            return claude.messages.create(messages=messages, **asked)
        with claude.messages.stream(messages=messages, **asked) as opened:
            return opened.get_final_message()

    called = say(ASK)
    (use,) = called.content
    assert (use.name, use.input) == ("find_order", {"order_id": "A-1007"})
    result = {"type": "tool_result", "tool_use_id": use.id, "content": RESULT}
    turns = [{"role": "assistant", "content": called.content}, {"role": "user", "content": [result]}]
    answered = say([*ASK, *turns])
    assert [said.stop_reason for said in (called, answered)] == ["tool_use", "end_turn"]
    assert min(called.usage.output_tokens, answered.usage.output_tokens) > 0
    check(here.generations(2), use.id, answered.content[0].text, stream=stream)


def test_anthropics_own_loop_goes_on_without_the_thread_that_it_asks_for(
    here: Any, claude: anthropic.Anthropic
) -> None:
    looked: list[str] = []

    @anthropic.beta_tool
    def find_order(order_id: str) -> str:
        """Finds an order."""
        looked.append(order_id)
        return RESULT

    answered = claude.beta.messages.tool_runner(
        model="support-reply", max_tokens=300, tools=[find_order], messages=ASK, extra_body=EXTRA
    ).until_done()
    assert looked == ["A-1007"]
    (block,) = answered.content
    assert block.type == "text"
    refused, called, done = here.generations(3)
    assert refused.status == "error"
    check([called, done], called.tool_calls[0]["id"], block.text, stream=False)


def check(events: list[Any], call: str, text: str, *, stream: bool) -> None:
    """The call was recorded, and its result is in the record of what answered it."""
    called, answered = events
    assert [event.status for event in events] == ["ok", "ok"]
    assert [event.stream for event in events] == [stream, stream]
    assert [one["id"] for one in called.tool_calls] == [call]
    assert called.tool_calls[0]["function"]["name"] == "find_order"
    told = json.dumps(answered.messages)
    assert call in told
    assert "Blue Ox" in told
    assert answered.output == text
    assert json.loads(text)["order_id"] == "A-1007"
