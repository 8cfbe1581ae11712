"""The stock `anthropic` and `openai` Python clients in the formats of Messages and Responses."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import anthropic
import openai
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

EXTRA = {"trimtab": {"variables": {"shop": "Acme"}}}
ASK: dict[str, Any] = {
    "model": "support-reply",
    "max_tokens": 200,
    "messages": [{"role": "user", "content": "Where is order A-1007?"}],
    "metadata": {"user_id": "ada"},
    "extra_body": EXTRA,
}
TOOL = {
    "name": "find_order",
    "description": "Finds an order.",
    "input_schema": {"type": "object", "properties": {"order_id": {"type": "string"}}, "required": ["order_id"]},
}


@pytest.fixture
def here(stack: Callable[..., Any]) -> Any:
    return stack()


@pytest.fixture
def client(here: Any) -> Iterator[Any]:
    with anthropic.Anthropic(api_key="none", base_url=here.base_url.removesuffix("/v1"), max_retries=0) as made:
        yield made


def test_a_message_is_answered_stamped_and_recorded(here: Any, client: Any) -> None:
    raw = client.messages.with_raw_response.create(**ASK)
    message = raw.parse()
    (block,) = message.content
    assert block.type == "text"
    assert json.loads(block.text)["order_id"] == "A-1007"
    assert (message.stop_reason, message.usage.output_tokens > 0) == ("end_turn", True)
    assert raw.headers["x-trimtab-release"] == "support-reply#1"
    (event,) = here.generations(1)
    assert (event.id, event.unit, event.format) == (raw.headers["x-trimtab-generation"], "ada", "messages")
    assert (event.output, event.requested_model) == (block.text, "gpt-4o-mini-2024-07-18")


def test_a_stream_of_messages_is_put_together_by_the_client(here: Any, client: Any) -> None:
    with client.messages.stream(**ASK) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert json.loads(text)["order_id"] == "A-1007"
    assert final.usage.output_tokens > 0
    (event,) = here.generations(1)
    assert (event.output, event.stream) == (text, True)


@pytest.mark.parametrize("stream", [False, True])
def test_tools_are_called_in_anthropics_shape(here: Any, client: Any, *, stream: bool) -> None:
    asked: dict[str, Any] = {**ASK, "tools": [TOOL], "tool_choice": {"type": "tool", "name": "find_order"}}
    if stream:
        with client.messages.stream(**asked) as opened:
            message: Any = opened.get_final_message()
    else:
        message = client.messages.create(**asked)
    (block,) = [block for block in message.content if block.type == "tool_use"]
    assert (block.name, block.input["order_id"]) == ("find_order", "A-1007")
    assert message.stop_reason == "tool_use"
    (event,) = here.generations(1)
    assert json.loads(event.tool_calls[0]["function"]["arguments"]) == block.input


def test_errors_are_of_the_clients_own_classes_and_name_the_field(client: Any) -> None:
    with pytest.raises(anthropic.NotFoundError):
        client.messages.create(**{**ASK, "model": "support-replay"})
    with pytest.raises(anthropic.BadRequestError) as caught:
        client.messages.create(**{**ASK, "extra_body": {**EXTRA, "top_k": 4}})
    assert caught.value.response.json()["error"]["param"] == "top_k"
    with pytest.raises(anthropic.BadRequestError) as caught:
        client.messages.create(**{**ASK, "extra_body": {**EXTRA, "temperature": 0.5}})
    assert caught.value.response.json()["error"]["code"] == "pinned_field"


def test_the_asynchronous_client_too(here: Any) -> None:
    async def ask() -> str:
        base = here.base_url.removesuffix("/v1")
        async with anthropic.AsyncAnthropic(api_key="none", base_url=base, max_retries=0) as made:
            message: Any = await made.messages.create(**ASK)
            return str(message.content[0].text)

    assert json.loads(asyncio.run(ask()))["order_id"] == "A-1007"


def test_responses_are_answered_streamed_and_refused(here: Any) -> None:
    made = here.client()
    ask: dict[str, Any] = {"model": "support-reply", "input": "Where is order A-1007?", "extra_body": EXTRA}
    answer = made.responses.create(**ask)
    assert json.loads(answer.output_text)["order_id"] == "A-1007"
    with made.responses.stream(**ask) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_response()
    assert final.output_text == answer.output_text
    assert (kinds[0], kinds[-1]) == ("response.created", "response.completed")
    tool = {"type": "function", "name": "find_order", "parameters": TOOL["input_schema"]}
    called = made.responses.create(**ask, tools=[tool], tool_choice={"type": "function", "name": "find_order"})
    (item,) = [item for item in called.output if item.type == "function_call"]
    assert json.loads(item.arguments)["order_id"] == "A-1007"
    with pytest.raises(openai.BadRequestError) as caught:
        made.responses.create(**ask, previous_response_id="resp_1")
    assert caught.value.param == "previous_response_id"
    assert {event.format for event in here.generations(4)} == {"responses"}
