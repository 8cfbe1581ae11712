"""Managed calls: Trimtab calls the model itself, over real HTTP, to upstreams of both formats."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest

import trimtab
from trimtab.core.errors import InputError, NotFoundError, StorageError, UpstreamError
from trimtab.providers.resilience import RetryPolicy
from trimtab.sdk.managed import ManagedLimits

if TYPE_CHECKING:
    from collections.abc import Iterator

ASK = [{"role": "user", "content": "Where is my order?"}]
QUICK = ManagedLimits(retry=RetryPolicy(max_attempts=2, base_seconds=0.01, max_seconds=0.02))


@pytest.fixture
def calling(store: Any, upstream: Any) -> Iterator[trimtab.Trimtab]:
    """A Trimtab whose two providers are the test's upstream."""
    providers = {
        "openai": trimtab.Endpoint(name="openai", base_url=f"{upstream.url}/v1"),
        "anthropic": trimtab.Endpoint(name="anthropic", base_url=f"{upstream.url}/v1", api_key="k"),
    }
    with trimtab.Trimtab(store.root, providers=providers) as opened:
        yield opened


def test_a_call_is_answered_by_the_release_and_recorded_with_all_of_it(
    store: Any, upstream: Any, calling: trimtab.Trimtab
) -> None:
    store.publish(store.release(1, model="gpt-a"))
    store.wait_until_serving(calling)
    answer = calling.chat("support-reply", unit="u1", variables={"shop": "Acme"}, messages=ASK, temperature=0.5)
    assert (answer.text, answer.finish_reason, answer.model) == ("answer of gpt-a", "stop", "gpt-a-2024")
    assert (answer.input_tokens, answer.output_tokens) == (11, 4)
    assert answer.json()["choices"][0]["message"]["content"] == answer.text
    assert (answer.trimtab.release, answer.trimtab.unit) == ("support-reply#1", "u1")
    (body,) = upstream.requests
    assert body == {
        "model": "gpt-a",
        "max_tokens": 50,
        "temperature": 0.5,
        "messages": [{"role": "system", "content": "You answer customers of Acme."}, *ASK],
    }
    (event,) = store.generations(calling)
    assert (event.id, event.output, event.unit, event.status) == (answer.trimtab.generation, answer.text, "u1", "ok")
    assert (event.variables, event.messages, event.attempts) == ({"shop": "Acme"}, body["messages"], 1)


def test_a_release_on_the_messages_api_answers_in_the_same_shape(
    store: Any, upstream: Any, calling: trimtab.Trimtab
) -> None:
    store.publish(store.release(1, model="claude-a-tools", provider="anthropic", wire="anthropic-messages/1"))
    store.wait_until_serving(calling)
    answer = calling.chat("support-reply", variables={"shop": "Acme"}, messages=ASK)
    assert answer.text == "answer of claude-a-tools"
    assert answer.tool_calls[0]["function"]["name"] == "find_order"
    assert answer.finish_reason == "tool_calls"
    (body,) = upstream.requests
    assert (body["system"], body["max_tokens"]) == ("You answer customers of Acme.", 50)
    streamed = list(calling.stream("support-reply", variables={"shop": "Acme"}, messages=ASK))
    assert "".join(chunk.text for chunk in streamed) == answer.text
    assert [event.format for event in store.wait_for(2, calling)] == ["chat", "chat"]


def test_a_stream_comes_in_pieces_and_leaving_it_is_recorded(store: Any, calling: trimtab.Trimtab) -> None:
    store.publish(store.release(1, model="gpt-a"))
    store.wait_until_serving(calling)
    chunks = list(calling.stream("support-reply", variables={"shop": "Acme"}, messages=ASK))
    assert "".join(chunk.text for chunk in chunks) == "answer of gpt-a"
    assert chunks[0].data["object"] == "chat.completion.chunk"
    store.wait_for(1, calling)

    async def leave() -> None:
        async with calling.async_calls() as calls:
            stream = calls.stream("support-reply", variables={"shop": "Acme"}, messages=ASK)
            async for _ in stream:
                break
            await stream.aclose()

    asyncio.run(leave())
    assert {event.status for event in store.wait_for(2, calling)} <= {"ok", "aborted"}


def test_many_callers_share_the_loop_and_the_connections(store: Any, calling: trimtab.Trimtab) -> None:
    store.publish(store.release(1, model="gpt-a"))
    store.wait_until_serving(calling)
    texts: list[str] = []

    def call() -> None:
        texts.append(calling.chat("support-reply", variables={"shop": "Acme"}, messages=ASK).text)

    threads = [threading.Thread(target=call) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert texts == ["answer of gpt-a"] * 20
    assert len({event.id for event in store.wait_for(20, calling)}) == 20


def test_a_failing_model_is_tried_again_and_then_raised_with_its_code(store: Any, upstream: Any) -> None:
    store.publish(store.release(1, model="gpt-500"))
    endpoint = trimtab.Endpoint(name="openai", base_url=f"{upstream.url}/v1")

    async def call() -> None:
        with trimtab.Trimtab(store.root) as tt:
            async with tt.async_calls(providers={"openai": endpoint}, limits=QUICK) as calls:
                with pytest.raises(UpstreamError) as caught:
                    await calls.chat("support-reply", variables={"shop": "Acme"}, messages=ASK)
            assert (caught.value.code, caught.value.message) == ("overloaded", "busy")
            (event,) = store.generations(tt)
            assert (event.status, event.error_code, event.attempts) == ("error", "overloaded", 2)

    asyncio.run(call())
    assert len(upstream.requests) == 2


def test_a_call_that_is_cancelled_is_given_up_and_recorded(store: Any, upstream: Any, calling: trimtab.Trimtab) -> None:
    store.publish(store.release(1, model="gpt-slow"))
    store.wait_until_serving(calling)

    async def call() -> None:
        async with calling.async_calls() as calls:
            task = asyncio.create_task(calls.chat("support-reply", variables={"shop": "Acme"}, messages=ASK))
            await asyncio.to_thread(upstream.arrived.wait, 10)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(call())
    (event,) = store.wait_for(1, calling)
    assert event.status == "aborted"


def test_what_the_caller_got_wrong_is_named_before_anything_is_sent(
    store: Any, upstream: Any, calling: trimtab.Trimtab
) -> None:
    store.publish(store.release(1, model="gpt-a"))
    store.wait_until_serving(calling)
    acme = {"shop": "Acme"}
    wrong: list[tuple[dict[str, Any], type[Exception], str]] = [
        ({"feature": "support-replay"}, NotFoundError, "support-reply"),
        ({"variables": {}}, InputError, "needs the variable `shop`"),
        ({"variables": acme, "max_tokens": 1}, InputError, "pins `max_tokens`"),
        ({"variables": acme, "model": "gpt-b"}, InputError, "the feature decides the model"),
        ({"variables": acme, "temprature": 1}, InputError, "temprature"),
        ({"variables": acme, "stream": True}, InputError, "whole answers"),
    ]
    for arguments, kind, said in wrong:
        given = {"feature": "support-reply", "messages": ASK, **arguments}
        with pytest.raises(kind) as caught:
            calling.chat(**given)
        assert said in str(caught.value)
    assert upstream.requests == []


def test_after_close_nothing_is_called(store: Any, upstream: Any) -> None:
    store.publish(store.release(1, model="gpt-a"))
    providers = {"openai": trimtab.Endpoint(name="openai", base_url=f"{upstream.url}/v1")}
    with trimtab.Trimtab(store.root, providers=providers) as tt:
        tt.chat("support-reply", variables={"shop": "Acme"}, messages=ASK)
    with pytest.raises(StorageError, match="closed"):
        tt.chat("support-reply", variables={"shop": "Acme"}, messages=ASK)


def test_a_shadowed_candidate_answers_too_and_nobody_waits_for_it(
    store: Any, upstream: Any, calling: trimtab.Trimtab
) -> None:
    store.publish(store.release(1, model="gpt-a"), store.release(2, model="gpt-b"), shadow=1.0)
    store.wait_until_serving(calling)
    answer = calling.chat("support-reply", unit="u1", variables={"shop": "Acme"}, messages=ASK)
    assert (answer.text, answer.trimtab.arm) == ("answer of gpt-a", "matched_control")
    events = store.wait_for(2, calling)
    assert {(event.arm, event.output) for event in events} == {
        ("matched_control", "answer of gpt-a"),
        ("shadow", "answer of gpt-b"),
    }


def test_the_mirror_begins_only_once_the_caller_has_its_answer(
    store: Any, upstream: Any, calling: trimtab.Trimtab
) -> None:
    store.publish(store.release(1, model="gpt-a"), store.release(2, model="gpt-b"), shadow=1.0)
    store.wait_until_serving(calling)
    order: list[str] = []
    providers = {"openai": trimtab.Endpoint(name="openai", base_url=f"{upstream.url}/v1")}

    async def main() -> None:
        async with calling.async_calls(providers=providers) as calls:
            submit = calls.mirrors.submit

            def watched(mirror: Any) -> None:
                order.append("mirror")
                submit(mirror)

            calls.mirrors.submit = watched  # type: ignore[method-assign]
            await calls.chat("support-reply", unit="u1", variables={"shop": "Acme"}, messages=ASK)
            order.append("answer")

    asyncio.run(main())
    assert order == ["answer", "mirror"]
