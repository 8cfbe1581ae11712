"""The stock `anthropic` package over real HTTP. `store`, `upstream` and `tt` are in conftest."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import anthropic
import pytest
from anthropic import Anthropic, AsyncAnthropic
from anthropic.types import Message

from trimtab.artifacts.model import AdapterContent, SchemaContent, ToolDefinition, ToolsContent
from trimtab.core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trimtab.sdk.client import Trimtab

ASK: dict[str, Any] = {
    "model": "support-reply",
    "messages": [{"role": "user", "content": "Where is my order?"}],
    "metadata": {"user_id": "u1"},
    "trimtab": {"variables": {"shop": "Acme"}},
}


@pytest.fixture
def client(upstream: Any, tt: Trimtab) -> Iterator[Any]:
    with Anthropic(base_url=upstream.url, api_key="k", max_retries=0) as plain:
        yield tt.wrap(plain)


@pytest.fixture
def serve(store: Any, tt: Trimtab) -> Any:
    def publish(model: str = "claude-a", **changes: Any) -> None:
        store.publish(store.release(1, model=model, provider="anthropic", **changes))
        store.wait_until_serving(tt)

    return publish


def test_a_feature_is_called_like_a_model(serve: Any, client: Any, upstream: Any, tt: Trimtab, store: Any) -> None:
    serve(parameters={"max_tokens": 50, "temperature": 0.3, "stop": "END"})
    answer = client.messages.create(**ASK)
    assert upstream.requests == [
        {
            "model": "claude-a",
            "system": "You answer customers of Acme.",
            "messages": ASK["messages"],
            "max_tokens": 50,
            "temperature": 0.3,
            "stop_sequences": ["END"],
            "metadata": {"user_id": "u1"},
        }
    ]
    assert isinstance(answer, Message)
    assert answer.trimtab.release == "support-reply#1"  # type: ignore[attr-defined]
    (event,) = store.generations(tt)
    assert (event.id, event.unit, event.status) == (answer.trimtab.generation, "u1", "ok")  # type: ignore[attr-defined]
    assert (event.served_model, event.finish_reason, event.output) == (
        "claude-a-2025",
        "end_turn",
        "answer of claude-a",
    )
    assert (event.input_tokens, event.output_tokens) == (11, 4)
    assert event.messages[0] == {"role": "system", "content": "You answer customers of Acme."}


def test_models_that_are_no_features_pass_through(serve: Any, client: Any, upstream: Any) -> None:
    serve()
    client.messages.create(model="claude-z", max_tokens=5, messages=ASK["messages"])
    with client.messages.stream(model="claude-z", max_tokens=5, messages=ASK["messages"]) as stream:
        assert stream.get_final_text() == "answer of claude-z"
    assert [body["model"] for body in upstream.requests] == ["claude-z", "claude-z"]


def test_a_release_without_max_tokens_needs_them_from_the_caller(serve: Any, client: Any, upstream: Any) -> None:
    serve(parameters={})
    with pytest.raises(InputError) as caught:
        client.messages.create(**ASK)
    assert caught.value.code == "missing_max_tokens"
    client.messages.create(**ASK, max_tokens=7)
    assert upstream.requests[0]["max_tokens"] == 7


def test_a_raw_stream_is_recorded_whole(serve: Any, client: Any, tt: Trimtab, store: Any) -> None:
    serve()
    stream = client.messages.create(**ASK, stream=True)
    assert isinstance(stream, anthropic.Stream)
    assert [event.type for event in stream][-1] == "message_stop"
    (event,) = store.generations(tt)
    assert (event.status, event.stream, event.output, event.output_tokens) == ("ok", True, "answer of claude-a", 4)


def test_the_stream_manager_serves_features(serve: Any, client: Any, upstream: Any, tt: Trimtab, store: Any) -> None:
    serve()
    with client.messages.stream(**ASK) as stream:
        assert stream.trimtab.number == 1
        assert "".join(stream.text_stream) == "answer of claude-a"
        assert stream.get_final_message().usage.output_tokens == 4
    assert upstream.requests[0]["stream"] is True
    assert [(event.status, event.output) for event in store.generations(tt)] == [("ok", "answer of claude-a")]


def test_leaving_the_stream_manager_early_is_recorded_as_aborted(
    serve: Any, client: Any, tt: Trimtab, store: Any
) -> None:
    serve()
    with client.messages.stream(**ASK) as stream:
        next(stream.text_stream)
    assert [(event.status, event.error_code) for event in store.generations(tt)] == [("aborted", "caller_gone")]


@pytest.mark.parametrize("surface", ["create", "stream"])
def test_an_error_of_the_provider_reaches_the_caller_and_the_journal(
    surface: str, serve: Any, client: Any, tt: Trimtab, store: Any
) -> None:
    serve("claude-500")
    with pytest.raises(anthropic.InternalServerError):
        if surface == "create":
            client.messages.create(**ASK)
        else:
            with client.messages.stream(**ASK):
                pass
    (event,) = store.generations(tt)
    assert (event.status, event.http_status, event.error_code) == ("error", 500, "server_error")


@pytest.mark.parametrize("stream", [False, True])
def test_tools_schema_and_adapter_of_the_release_apply(
    *, stream: bool, serve: Any, client: Any, upstream: Any, tt: Trimtab, store: Any
) -> None:
    serve(
        "claude-tools",
        tools=ToolsContent(tools=[ToolDefinition(name="find_order", parameters={"type": "object"})]),
        schema=SchemaContent(name="reply", schema={"type": "object"}),
    )
    answer = client.messages.create(**ASK, stream=stream)
    if stream:
        list(answer)
    assert upstream.requests[0]["tools"] == [{"name": "find_order", "input_schema": {"type": "object"}}]
    assert upstream.requests[0]["output_config"] == {"format": {"type": "json_schema", "schema": {"type": "object"}}}
    (event,) = store.generations(tt)
    function = {"name": "find_order", "arguments": '{"order":"A-1"}'}
    assert event.tool_calls == [{"id": "toolu_1", "type": "function", "function": function}]


def test_an_output_adapter_applies_to_what_the_stream_manager_shows(serve: Any, client: Any) -> None:
    serve("claude-fenced", adapter=AdapterContent(output=["strip_code_fence"]))
    with client.messages.stream(**ASK) as stream:
        assert stream.get_final_text() == '{"answer":"ok"}'


def test_the_asynchronous_client_does_the_same(upstream: Any, tt: Trimtab, store: Any) -> None:
    stable = store.release(1, model="claude-a", provider="anthropic")
    store.publish(stable, store.release(2, model="claude-500", provider="anthropic"), shadow=1.0)
    store.wait_until_serving(tt)

    async def main() -> None:
        async with AsyncAnthropic(base_url=upstream.url, api_key="k", max_retries=0) as plain:
            client: Any = tt.wrap(plain)
            assert (await client.messages.create(**ASK)).trimtab.arm == "matched_control"
            async with client.messages.stream(**ASK) as stream:
                assert await stream.get_final_text() == "answer of claude-a"
            raw = await client.messages.create(**ASK, stream=True)
            assert [event.type async for event in raw][-1] == "message_stop"
            await asyncio.to_thread(store.wait_for, 6, tt)

    asyncio.run(main())
    assert sorted((event.arm, event.status, event.stream) for event in store.generations(tt)) == [
        ("matched_control", "ok", False),
        ("matched_control", "ok", True),
        ("matched_control", "ok", True),
        ("shadow", "error", False),
        ("shadow", "error", True),
        ("shadow", "error", True),
    ]


def test_a_candidate_of_another_provider_cannot_be_mirrored_and_says_so(client: Any, tt: Trimtab, store: Any) -> None:
    stable = store.release(1, model="claude-a", provider="anthropic")
    store.publish(stable, store.release(2, model="gpt-b", provider="openai"), shadow=1.0)
    store.wait_until_serving(tt)
    client.messages.create(**ASK)
    _, shadow = store.wait_for(2, tt)
    assert (shadow.status, shadow.error_code) == ("error", "cannot_carry")
