"""The simulator through the stock clients of Anthropic's Messages and OpenAI's Responses, beside chat completions."""

from __future__ import annotations

import json
from typing import Any

import anthropic
import pytest
from anthropic.types import Message
from openai.types.responses import Response
from tests.integration.sim.sim_clients import MESSAGES, QUESTION, RESPONSES, SCHEMA, SYSTEM, Clients, play, same

from trimtab.providers.http import fetch
from trimtab.sim.config import Rule, SimConfig
from trimtab.sim.replay import Recorded, ReplaySource


def test_the_same_question_is_answered_alike_in_every_api_whole_and_streamed() -> None:
    async def story(to: Clients) -> None:
        turns: list[Any] = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": QUESTION}]
        chat = (await to.openai.chat.completions.create(model="m", messages=turns)).choices[0].message.content
        assert chat
        message = await to.anthropic.messages.create(**MESSAGES)
        response = await to.openai.responses.create(**RESPONSES)
        assert [block.to_dict() for block in message.content] == [{"type": "text", "text": chat}]
        assert response.output_text == chat
        async with to.anthropic.messages.stream(**MESSAGES) as messages:
            texts = [text async for text in messages.text_stream]
            assert same(message, await messages.get_final_message())
        assert len(texts) == len(chat.split(" "))
        async with to.openai.responses.stream(**RESPONSES) as responses:
            deltas = [event.delta async for event in responses if event.type == "response.output_text.delta"]
            assert same(response, await responses.get_final_response())
        assert "".join(deltas) == "".join(texts) == chat

    play(story)


def test_texts_in_blocks_and_parts_are_answered_as_strings_are() -> None:
    async def story(to: Clients) -> None:
        blocks = [{"role": "user", "content": [{"type": "text", "text": QUESTION}]}]
        in_blocks: Any = {**MESSAGES, "system": [{"type": "text", "text": SYSTEM}], "messages": blocks}
        parts = [{"role": "user", "content": [{"type": "input_text", "text": QUESTION}]}]
        one = await to.anthropic.messages.create(**MESSAGES)
        assert same(one, await to.anthropic.messages.create(**in_blocks))
        other = await to.openai.responses.create(**RESPONSES)
        assert other.output == (await to.openai.responses.create(**{**RESPONSES, "input": parts})).output

    play(story)


def test_usage_is_the_same_in_every_api() -> None:
    async def story(to: Clients) -> None:
        turns: list[Any] = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": QUESTION}]
        chat = (await to.openai.chat.completions.create(model="m", messages=turns)).usage
        message = (await to.anthropic.messages.create(**MESSAGES)).usage
        response = (await to.openai.responses.create(**RESPONSES)).usage
        assert chat
        assert response
        assert (message.input_tokens, message.output_tokens) == (chat.prompt_tokens, chat.completion_tokens)
        assert (response.input_tokens, response.output_tokens) == (chat.prompt_tokens, chat.completion_tokens)
        assert chat.completion_tokens > 5

    play(story)


@pytest.mark.parametrize("by", ["rate", "any", "name"])
def test_tools_of_messages_are_called_and_their_results_answered(by: str) -> None:
    config = SimConfig(rules=[Rule(name="r", answer="It is on its way.", tool_call_rate=1.0 if by == "rate" else 0.0)])
    tools = [{"name": "other", "input_schema": {}}, {"name": "track", "input_schema": SCHEMA}]
    choice = {"any": {"type": "any"}, "name": {"type": "tool", "name": "track"}}.get(by, {"type": "auto"})
    asked: Any = {**MESSAGES, "tools": tools if by == "name" else tools[::-1], "tool_choice": choice}

    async def story(to: Clients) -> None:
        message = await to.anthropic.messages.create(**asked)
        (call,) = message.content
        assert call.type == "tool_use"
        assert (message.stop_reason, call.name) == ("tool_use", "track")
        assert call.input == {"order_id": "A-1007", "days": 1}
        async with to.anthropic.messages.stream(**asked) as stream:
            assert same(message, await stream.get_final_message())
        result = [{"type": "tool_result", "tool_use_id": call.id, "content": "sent"}]
        turns = [*asked["messages"], {"role": "assistant", "content": message.content}]
        after = await to.anthropic.messages.create(
            **{**asked, "messages": [*turns, {"role": "user", "content": result}]}
        )
        assert [block.to_dict() for block in after.content] == [{"type": "text", "text": "It is on its way."}]

    play(story, config)


@pytest.mark.parametrize("by", ["rate", "required", "name"])
def test_functions_of_responses_are_called_and_their_results_answered(by: str) -> None:
    config = SimConfig(rules=[Rule(name="r", answer="It is on its way.", tool_call_rate=1.0 if by == "rate" else 0.0)])
    track = {"type": "function", "name": "track", "parameters": SCHEMA, "strict": False}
    choice = {"required": "required", "name": {"type": "function", "name": "track"}}.get(by, "auto")
    asked: Any = {**RESPONSES, "tools": [track], "tool_choice": choice}

    async def story(to: Clients) -> None:
        response = await to.openai.responses.create(**asked)
        (call,) = response.output
        assert call.type == "function_call"
        assert (response.status, call.name) == ("completed", "track")
        assert json.loads(call.arguments) == {"order_id": "A-1007", "days": 1}
        async with to.openai.responses.stream(**asked) as stream:
            final = await stream.get_final_response()
        assert [item.to_dict() | {"parsed_arguments": None} for item in final.output] == [
            call.to_dict() | {"parsed_arguments": None}
        ]
        result = {"type": "function_call_output", "call_id": call.call_id, "output": "sent"}
        items = [{"role": "user", "content": QUESTION}, call.to_dict(), result]
        after = await to.openai.responses.create(**{**asked, "input": items})
        assert after.output_text == "It is on its way."

    play(story, config)


def test_a_schema_is_answered_with_what_satisfies_it() -> None:
    wanted = {"type": "object", "properties": {"verdict": {"enum": ["good", "bad"]}}}

    async def story(to: Clients) -> None:
        config: Any = {"format": {"type": "json_schema", "schema": wanted}}
        message = await to.anthropic.messages.create(**{**MESSAGES, "system": "Judge."}, output_config=config)
        (block,) = message.content
        assert block.type == "text"
        assert json.loads(block.text) == {"verdict": "good"}
        text: Any = {"format": {"type": "json_schema", "name": "verdict", "schema": wanted}}
        response = await to.openai.responses.create(**{**RESPONSES, "instructions": "Judge."}, text=text)
        assert json.loads(response.output_text) == {"verdict": "good"}
        assert response.text
        assert response.text.format
        assert response.text.format.type == "json_schema"

    play(story)


def test_refusals_and_empty_answers_come_as_each_api_tells_them() -> None:
    config = SimConfig(rules=[Rule(name="r", refusal_rate=1.0, refusal="I will not.")])

    async def story(to: Clients) -> None:
        message = await to.anthropic.messages.create(**MESSAGES)
        assert (message.stop_reason, message.content) == ("refusal", [])
        assert message.stop_details
        assert message.stop_details.explanation == "I will not."
        async with to.anthropic.messages.stream(**MESSAGES) as messages:
            assert same(message, await messages.get_final_message())
        response = await to.openai.responses.create(**RESPONSES)
        (item,) = response.output
        assert item.type == "message"
        assert [part.to_dict() for part in item.content] == [{"type": "refusal", "refusal": "I will not."}]
        async with to.openai.responses.stream(**RESPONSES) as stream:
            kinds = [event.type async for event in stream]
            assert same(response, await stream.get_final_response())
        assert "response.refusal.delta" in kinds

    play(story, config)

    async def silence(to: Clients) -> None:
        assert (await to.anthropic.messages.create(**MESSAGES)).content == []
        assert (await to.openai.responses.create(**RESPONSES)).output_text == ""

    play(silence, SimConfig(rules=[Rule(name="r", answer="x", empty_rate=1.0)]))


def test_draws_and_templates_are_by_user_in_every_api() -> None:
    config = SimConfig(rules=[Rule(name="r", answer="{{ unit }}", fence_rate=0.5, draw_by="user")])

    async def story(to: Clients) -> None:
        said = set()
        for unit in map(str, range(12)):
            message = await to.anthropic.messages.create(**MESSAGES, metadata={"user_id": unit})
            response = await to.openai.responses.create(**RESPONSES, user=unit)
            (block,) = message.content
            assert block.type == "text"
            assert block.text == response.output_text
            assert unit in block.text
            said.add(block.text.startswith("```"))
        assert said == {True, False}

    play(story, config)


def test_a_recording_answers_in_every_api() -> None:
    source = ReplaySource({("gpt-4-0314", QUESTION): [Recorded("[Yes]")]})

    async def story(to: Clients) -> None:
        message = await to.anthropic.messages.create(**{**MESSAGES, "model": "gpt-4-0314"})
        response = await to.openai.responses.create(**{**RESPONSES, "model": "gpt-4-0314"})
        assert ([block.to_dict()["text"] for block in message.content], response.output_text) == (["[Yes]"], "[Yes]")
        with pytest.raises(anthropic.NotFoundError, match="never asked"):
            await to.anthropic.messages.create(
                **{**MESSAGES, "model": "gpt-4-0314", "messages": [{"role": "user", "content": "?"}]}
            )

    play(story, replay=source)


def test_answers_and_events_have_all_that_the_clients_types_ask_for() -> None:
    async def story(to: Clients) -> None:
        for path, body, kind in (
            (b"/v1/messages", {**MESSAGES, "tools": [{"name": "track", "input_schema": SCHEMA}]}, Message),
            (b"/v1/responses", {**RESPONSES, "tools": [{"type": "function", "name": "track"}]}, Response),
        ):
            for more in ({}, {"tool_choice": {"type": "any"} if kind is Message else "required"}):
                reply = await fetch(to.upstream, b"POST", path, body=json.dumps({**body, **more}).encode())
                kind.model_validate_json(reply.body)

    play(story)
