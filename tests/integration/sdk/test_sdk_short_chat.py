"""Managed calls that find a connection open go a short way; nobody can tell but by the time it takes."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

import trimtab
from trimtab.artifacts.model import AdapterContent, PromptMessage
from trimtab.calls.call import ModelCall
from trimtab.core.errors import InputError, TrimtabError, UpstreamError
from trimtab.providers.resilience import RetryPolicy
from trimtab.sdk.managed import ManagedLimits

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from trimtab.events import Generation
    from trimtab.sdk.managed import AsyncCalls


ASK = [{"role": "user", "content": "Where is my order?"}]
ACME: dict[str, Any] = {"variables": {"shop": "Acme"}, "messages": ASK}
LIMITS = ManagedLimits(
    retry=RetryPolicy(max_attempts=2, base_seconds=0.01, max_seconds=0.02),
    max_answer_bytes=4096,
    silence_timeout_seconds=0.4,
    upstream_timeout_seconds=5.0,
)
CALLS_OWN = ("id", "at_ms", "latency_ms", "first_token_ms")


def providers(upstream: Any) -> dict[str, trimtab.Endpoint]:
    return {"openai": trimtab.Endpoint(name="openai", base_url=f"{upstream.url}/v1")}


def last(store: Any, tt: trimtab.Trimtab) -> Generation:
    event: Generation = store.generations(tt)[-1]
    return event


def hide(content: dict[str, Any]) -> dict[str, Any]:
    """A redaction hook."""
    return {**content, "output": "[gone]", "variables": {}}


@contextlib.asynccontextmanager
async def opened(store: Any, upstream: Any, **options: Any) -> AsyncIterator[tuple[trimtab.Trimtab, AsyncCalls]]:
    """Calls with a connection that stable `gpt-a` has answered on."""
    store.publish(store.release(1, model="gpt-a"))
    with trimtab.Trimtab(store.root, **options) as tt:
        async with tt.async_calls(providers=providers(upstream), limits=LIMITS) as calls:
            await calls.chat("support-reply", unit="first", **ACME)
            yield tt, calls


def serve(store: Any, tt: trimtab.Trimtab, model: str, **changes: Any) -> None:
    store.publish(store.release(2, model=model, **changes))
    store.wait_until_serving(tt)


@pytest.fixture
def without_layers(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Makes every call fail that is not on the short way to its end."""

    def remove() -> None:
        def fail(*_: object) -> None:
            raise AssertionError("not on the short way")

        monkeypatch.setattr(ModelCall, "__init__", fail)

    return remove


def test_both_ways_answer_and_record_the_same(store: Any, upstream: Any, without_layers: Callable[[], None]) -> None:
    said: dict[str, Any] = {"unit": "ada", "attributes": {"language": "de"}, "temperature": 0.5, **ACME}

    async def main() -> None:
        async with opened(store, upstream) as (tt, calls):
            async with tt.async_calls(providers=providers(upstream), limits=LIMITS) as fresh:
                layers = await fresh.chat("support-reply", **said)
            without_layers()
            short = await calls.chat("support-reply", **said)
            assert upstream.requests[-1] == upstream.requests[-2]
            assert msgspec.structs.replace(short, trimtab=layers.trimtab) == layers
            assert (short.trimtab.generation, short.trimtab.unit) == (last(store, tt).id, "ada")
            events = [msgspec.structs.asdict(event) for event in store.generations(tt)[-2:]]
            assert [event["id"] for event in events] == [layers.trimtab.generation, short.trimtab.generation]
            for event in events:
                assert event["latency_ms"] > 0
                for name in CALLS_OWN:
                    del event[name]
            assert events[0] == events[1]
            assert events[1]["variables"] == {"shop": "Acme"}

    asyncio.run(main())


@pytest.mark.parametrize(
    ("model", "code", "attempts"),
    [
        ("gpt-500", "overloaded", 2),
        ("gpt-gone", "upstream_disconnected", 2),
        ("gpt-slow", "upstream_timeout", 1),
        ("gpt-long", "upstream_malformed", 1),
        ("gpt-odd", "upstream_malformed", 1),
    ],
)
def test_what_goes_wrong_on_the_short_way_is_recovered_raised_and_recorded_as_ever(
    store: Any, upstream: Any, model: str, code: str, attempts: int
) -> None:
    async def main() -> None:
        async with opened(store, upstream) as (tt, calls):
            serve(store, tt, model)
            async with tt.async_calls(providers=providers(upstream), limits=LIMITS) as fresh:
                for way in (fresh, calls):
                    with pytest.raises(UpstreamError) as caught:
                        await way.chat("support-reply", unit="ada", **ACME)
                    event = last(store, tt)
                    assert caught.value.code == event.error_code == code
                    assert (event.status, event.attempts, event.unit) == ("error", attempts, "ada")
                    assert event.variables == {"shop": "Acme"}
            serve(store, tt, "gpt-a")
            assert (await calls.chat("support-reply", **ACME)).text == "answer of gpt-a"

    asyncio.run(main())


def test_a_call_that_is_cancelled_on_the_short_way_is_given_up_and_recorded(store: Any, upstream: Any) -> None:
    async def main() -> None:
        async with opened(store, upstream) as (tt, calls):
            serve(store, tt, "gpt-slow")
            upstream.arrived.clear()
            task = asyncio.create_task(calls.chat("support-reply", unit="ada", **ACME))
            await asyncio.to_thread(upstream.arrived.wait, 10)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert (last(store, tt).status, last(store, tt).unit) == ("aborted", "ada")
            serve(store, tt, "gpt-a")
            assert (await calls.chat("support-reply", **ACME)).text == "answer of gpt-a"

    asyncio.run(main())


def test_a_call_that_is_cancelled_once_it_was_answered_leaves_the_connection_to_the_next(
    store: Any, upstream: Any, without_layers: Callable[[], None]
) -> None:
    async def main() -> None:
        async with opened(store, upstream) as (tt, calls):
            without_layers()
            loop = asyncio.get_running_loop()
            create_future = loop.create_future
            awaited: list[asyncio.Future[Any]] = []

            def cancelling() -> asyncio.Future[Any]:
                loop.create_future = create_future  # type: ignore[method-assign]
                answered = create_future()
                answered.add_done_callback(lambda _: task.cancel())  # before the task hears of its answer
                awaited.append(answered)
                return answered

            task = asyncio.create_task(calls.chat("support-reply", unit="ada", **ACME))
            loop.create_future = cancelling  # type: ignore[method-assign]
            with pytest.raises(asyncio.CancelledError):
                await task
            assert awaited[0].done()
            assert not awaited[0].cancelled()
            assert last(store, tt).status == "ok"
            assert (await calls.chat("support-reply", **ACME)).text == "answer of gpt-a"

    asyncio.run(main())


def test_what_the_caller_got_wrong_is_said_and_recorded_as_ever(store: Any, upstream: Any) -> None:
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"messages": ASK}, "missing_variable"),
        ({**ACME, "max_tokens": 1}, "pinned_field"),
        ({**ACME, "messages": []}, ""),
    ]

    async def main() -> None:
        async with opened(store, upstream) as (tt, calls):
            for arguments, code in wrong:
                if not code:
                    await calls.chat("support-reply", **arguments)
                    continue
                with pytest.raises(InputError) as caught:
                    await calls.chat("support-reply", **arguments)
                assert caught.value.code == last(store, tt).error_code == code

    asyncio.run(main())


def test_what_has_to_be_adapted_is_adapted_on_the_way(
    store: Any, upstream: Any, without_layers: Callable[[], None]
) -> None:
    async def main() -> None:
        async with opened(store, upstream) as (tt, calls):
            serve(store, tt, "gpt-fenced", adapter=AdapterContent(output=["strip_code_fence"]))
            without_layers()
            answer = await calls.chat("support-reply", **ACME)
            assert answer.text == last(store, tt).output == '{"answer":"ok"}'

    asyncio.run(main())


def test_what_cannot_be_called_takes_the_long_way(
    store: Any, upstream: Any, without_layers: Callable[[], None]
) -> None:
    async def main() -> None:
        async with opened(store, upstream) as (tt, calls):
            serve(store, tt, "gpt-a", provider="anthropic")
            without_layers()
            with pytest.raises((AssertionError, TrimtabError)):
                await calls.chat("support-reply", **ACME)

    asyncio.run(main())


def test_content_is_redacted_on_the_short_way_too(
    store: Any, upstream: Any, without_layers: Callable[[], None]
) -> None:
    async def main() -> None:
        async with opened(store, upstream, redact=hide) as (tt, calls):
            without_layers()
            assert (await calls.chat("support-reply", **ACME)).text == "answer of gpt-a"
            assert (last(store, tt).output, last(store, tt).variables) == ("[gone]", {})

    asyncio.run(main())


def test_many_at_once_on_the_short_way_each_get_their_own_answer(store: Any, upstream: Any) -> None:
    async def main() -> None:
        async with opened(store, upstream) as (tt, calls):
            prompt = [PromptMessage(role="system", content="Hello")]
            models = {f"f{number}": f"gpt-{number}" for number in range(8)}
            store.publish_all(
                [
                    store.release(number, model=model, feature=name, messages=prompt, variables={})
                    for number, (name, model) in enumerate(models.items())
                ]
            )
            store.wait_until_serving(tt)
            for _ in range(3):
                names = [*models] * 4
                answers = await asyncio.gather(*(calls.chat(name, unit=name, messages=ASK) for name in names))
                assert [answer.text for answer in answers] == [f"answer of {models[name]}" for name in names]
                recorded = {event.id: event for event in store.generations(tt)}
                for name, answer in zip(names, answers, strict=True):
                    event = recorded[answer.trimtab.generation]
                    assert (event.feature, event.unit, event.output) == (name, name, answer.text)

    asyncio.run(main())
