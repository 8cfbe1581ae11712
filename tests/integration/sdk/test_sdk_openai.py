"""The stock `openai` package over real HTTP. `store`, `upstream` and `tt` are in conftest."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING, Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI, Stream
from openai.types.chat import ChatCompletion

from trimtab.artifacts.model import AdapterContent, SchemaContent, ToolDefinition, ToolsContent
from trimtab.core.errors import InputError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trimtab.sdk.client import Trimtab

ASK: dict[str, Any] = {
    "model": "support-reply",
    "messages": [{"role": "user", "content": "Where is my order?"}],
    "user": "u1",
    "trimtab": {"variables": {"shop": "Acme"}},
}
PROMPT = {"role": "system", "content": "You answer customers of Acme."}


@pytest.fixture
def client(upstream: Any, tt: Trimtab) -> Iterator[Any]:
    with OpenAI(base_url=f"{upstream.url}/v1", api_key="k", max_retries=0) as plain:
        yield tt.wrap(plain)


def test_a_feature_is_called_like_a_model_and_its_answer_says_which_release_served_it(
    client: Any, upstream: Any, tt: Trimtab, store: Any
) -> None:
    store.publish(store.release(1, model="gpt-a"))
    store.wait_until_serving(tt)
    answer = client.chat.completions.create(**ASK)

    assert upstream.requests == [
        {"model": "gpt-a", "messages": [PROMPT, *ASK["messages"]], "max_tokens": 50, "user": "u1"}
    ]
    assert isinstance(answer, ChatCompletion)
    assert answer.choices[0].message.content == "answer of gpt-a"
    assert (answer.trimtab.release, answer.trimtab.arm, answer.trimtab.unit) == ("support-reply#1", "stable", "u1")  # type: ignore[attr-defined]
    assert "trimtab" not in answer.model_dump_json()

    (event,) = store.generations(tt)
    assert event.id == answer.trimtab.generation  # type: ignore[attr-defined]
    assert (event.status, event.http_status, event.release_number, event.unit) == ("ok", 200, 1, "u1")
    assert (event.requested_model, event.served_model, event.finish_reason) == ("gpt-a", "gpt-a-2024", "stop")
    assert (event.input_tokens, event.output_tokens, event.cost_usd) == (11, 4, pytest.approx(19e-6))
    assert event.variables == {"shop": "Acme"}
    assert event.messages == [PROMPT, *ASK["messages"]]
    assert event.output == "answer of gpt-a"
    assert event.latency_ms > 0


@pytest.fixture
def serving(store: Any, tt: Trimtab) -> None:
    store.publish(store.release(1, model="gpt-a"))
    store.wait_until_serving(tt)


def test_a_model_that_is_no_feature_passes_through_untouched(
    serving: None, client: Any, upstream: Any, tt: Trimtab, store: Any
) -> None:
    answer = client.chat.completions.create(model="gpt-z", messages=ASK["messages"], temperature=0.5)
    assert upstream.requests == [{"model": "gpt-z", "messages": ASK["messages"], "temperature": 0.5}]
    assert not hasattr(answer, "trimtab")
    assert store.generations(tt) == []


def test_trimtab_options_with_an_unknown_feature_are_an_error_before_anything_is_sent(
    serving: None, client: Any, upstream: Any
) -> None:
    with pytest.raises(NotFoundError, match="did you mean `support-reply`"):
        client.chat.completions.create(**ASK | {"model": "suport-reply"})
    assert upstream.requests == []


def test_options_in_the_extra_body_work_as_they_do_with_the_gateway(serving: None, client: Any) -> None:
    ask = {name: value for name, value in ASK.items() if name != "trimtab"}
    answer = client.chat.completions.create(**ask, extra_body={"trimtab": ASK["trimtab"]})
    assert answer.trimtab.release == "support-reply#1"


def test_a_pinned_argument_is_refused_and_recorded_as_a_failure(
    serving: None, client: Any, upstream: Any, tt: Trimtab, store: Any
) -> None:
    with pytest.raises(InputError) as caught:
        client.chat.completions.create(**ASK, max_tokens=9)
    assert (caught.value.code, caught.value.param) == ("pinned_field", "max_tokens")
    assert upstream.requests == []
    (event,) = store.generations(tt)
    assert (event.status, event.error_code, event.http_status) == ("error", "pinned_field", 400)


def test_a_candidate_whose_prompt_callers_cannot_fill_in_collects_failures(
    client: Any, tt: Trimtab, store: Any
) -> None:
    variables = {"type": "object", "properties": {"shop": {}, "tone": {}}, "required": ["tone"]}
    store.publish(store.release(1, model="a"), store.release(2, model="b", variables=variables), weight=0.5)
    store.wait_until_serving(tt)
    with pytest.raises(InputError, match="needs the variable `tone`"):
        client.chat.completions.create(**ASK | {"user": store.unit_in(0, 0.5)})
    (event,) = store.generations(tt)
    assert (event.arm, event.status, event.error_code) == ("candidate", "error", "missing_variable")


def test_a_stream_is_handed_through_and_recorded_whole(
    serving: None, client: Any, upstream: Any, tt: Trimtab, store: Any
) -> None:
    with client.chat.completions.create(**ASK, stream=True) as stream:
        assert stream.trimtab.release == "support-reply#1"
        assert isinstance(stream, Stream)
        chunks = list(stream)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "answer of gpt-a"
    assert upstream.requests[0]["stream_options"] == {"include_usage": True}
    (event,) = store.generations(tt)
    assert (event.status, event.stream, event.output) == ("ok", True, "answer of gpt-a")
    assert (event.input_tokens, event.output_tokens) == (11, 4)
    assert 0 < event.first_token_ms <= event.latency_ms


def test_the_usage_chunk_is_shown_to_the_caller_that_asked(serving: None, client: Any) -> None:
    chunks = list(client.chat.completions.create(**ASK, stream=True, stream_options={"include_usage": True}))
    assert chunks[-1].usage.prompt_tokens == 11


@pytest.mark.parametrize("how", ["close", "leave", "drop"])
def test_a_stream_given_up_early_is_recorded_as_aborted(
    how: str, serving: None, client: Any, tt: Trimtab, store: Any
) -> None:
    stream = client.chat.completions.create(**ASK, stream=True)
    next(stream)
    if how == "close":
        stream.close()
    elif how == "leave":
        with stream:
            pass
    else:
        inner = stream.response
        del stream
        gc.collect()
        inner.close()
    (event,) = store.generations(tt)
    assert (event.status, event.error_code) == ("aborted", "caller_gone")


def test_a_stream_that_breaks_off_is_an_error(client: Any, tt: Trimtab, store: Any) -> None:
    store.publish(store.release(1, model="gpt-cut"))
    store.wait_until_serving(tt)
    stream = client.chat.completions.create(**ASK, stream=True)
    with pytest.raises(openai.APIConnectionError):
        list(stream)
    (event,) = store.generations(tt)
    assert (event.status, event.output) == ("error", "answer o")
    assert event.error_code in {"upstream_unreachable", "upstream_truncated"}


def test_an_error_of_the_provider_reaches_the_caller_and_the_journal(client: Any, tt: Trimtab, store: Any) -> None:
    store.publish(store.release(1, model="gpt-500"))
    store.wait_until_serving(tt)
    with pytest.raises(openai.InternalServerError):
        client.chat.completions.create(**ASK)
    (event,) = store.generations(tt)
    assert (event.status, event.http_status, event.error_code) == ("error", 500, "overloaded")


@pytest.mark.parametrize("stream", [False, True])
def test_tools_of_the_release_are_sent_and_tool_calls_recorded(
    *, stream: bool, client: Any, upstream: Any, tt: Trimtab, store: Any
) -> None:
    tools = ToolsContent(tools=[ToolDefinition(name="find_order", parameters={"type": "object"})])
    store.publish(store.release(1, model="gpt-tools", tools=tools))
    store.wait_until_serving(tt)
    answer = client.chat.completions.create(**ASK, stream=stream)
    if stream:
        list(answer)
    assert upstream.requests[0]["tools"][0]["function"]["name"] == "find_order"
    (event,) = store.generations(tt)
    function = {"name": "find_order", "arguments": '{"order":"A-1"}'}
    assert event.tool_calls == [{"id": "call_1", "type": "function", "function": function}]
    assert event.finish_reason == "tool_calls"


@pytest.mark.parametrize("stream", [False, True])
def test_schema_and_output_adapter_of_the_release_apply(
    *, stream: bool, client: Any, upstream: Any, tt: Trimtab, store: Any
) -> None:
    store.publish(
        store.release(
            1,
            model="gpt-fenced",
            schema=SchemaContent(name="reply", schema={"type": "object"}),
            adapter=AdapterContent(output=["strip_code_fence"]),
        )
    )
    store.wait_until_serving(tt)
    answer = client.chat.completions.create(**ASK, stream=stream)
    if stream:
        text = "".join(chunk.choices[0].delta.content or "" for chunk in answer)
    else:
        text = answer.choices[0].message.content
    assert text == '{"answer":"ok"}'
    assert upstream.requests[0]["response_format"]["json_schema"]["name"] == "reply"
    assert store.generations(tt)[0].output == text


def test_the_clients_stream_helper_serves_features(serving: None, client: Any, tt: Trimtab, store: Any) -> None:
    extra_body = {"trimtab": ASK["trimtab"]}
    ask = {name: value for name, value in ASK.items() if name != "trimtab"}
    with client.chat.completions.stream(**ask, extra_body=extra_body) as stream:
        final = stream.get_final_completion()
    assert final.choices[0].message.content == "answer of gpt-a"
    assert store.generations(tt)[0].status == "ok"


@pytest.mark.parametrize("surface", ["parse", "raw", "streaming"])
def test_a_surface_that_cannot_serve_features_says_so_and_still_serves_models(
    surface: str, serving: None, client: Any, upstream: Any
) -> None:
    completions = client.chat.completions
    call = {
        "parse": completions.parse,
        "raw": lambda **arguments: completions.with_raw_response.create(**arguments).parse(),
        "streaming": lambda **arguments: _streaming(completions, arguments),
    }[surface]
    with pytest.raises(InputError) as caught:
        call(model="support-reply", messages=ASK["messages"])
    assert caught.value.code == "unsupported_call"
    assert upstream.requests == []
    assert call(model="gpt-z", messages=ASK["messages"]).choices[0].message.content == "answer of gpt-z"


def _streaming(completions: Any, arguments: dict[str, Any]) -> Any:
    with completions.with_streaming_response.create(**arguments) as response:
        return response.parse()


def test_the_given_client_stays_as_it_is_and_copies_of_the_wrapped_one_serve_features(
    serving: None, upstream: Any, tt: Trimtab
) -> None:
    with OpenAI(base_url=f"{upstream.url}/v1", api_key="k", max_retries=0) as plain:
        wrapped: Any = tt.wrap(plain)
        assert type(wrapped) is OpenAI
        assert wrapped.with_options(timeout=5).chat.completions.create(**ASK).trimtab.number == 1
        assert wrapped.models is not plain.models
        plain.chat.completions.create(model="support-reply", messages=[{"role": "user", "content": "hi"}])
    assert upstream.requests[-1]["model"] == "support-reply"


def test_shadow_traffic_is_mirrored_after_the_user_was_answered(
    client: Any, upstream: Any, tt: Trimtab, store: Any
) -> None:
    store.publish(store.release(1, model="gpt-a"), store.release(2, model="gpt-b-slow"), shadow=1.0)
    store.wait_until_serving(tt)
    answer = client.chat.completions.create(**ASK)
    assert answer.choices[0].message.content == "answer of gpt-a"
    assert [event.arm for event in store.generations(tt)] == ["matched_control"]
    upstream.release_slow.set()
    primary, shadow = store.wait_for(2, tt)
    assert (primary.id, shadow.mirrors) == (answer.trimtab.generation, answer.trimtab.generation)
    assert (shadow.arm, shadow.release_number, shadow.status) == ("shadow", 2, "ok")
    assert shadow.output == "answer of gpt-b-slow"


def test_a_shadow_that_fails_is_on_record_and_the_user_never_notices(client: Any, tt: Trimtab, store: Any) -> None:
    store.publish(store.release(1, model="gpt-a"), store.release(2, model="gpt-500"), shadow=1.0)
    store.wait_until_serving(tt)
    list(client.chat.completions.create(**ASK, stream=True))
    primary, shadow = store.wait_for(2, tt)
    assert primary.status == "ok"
    assert (shadow.status, shadow.http_status, shadow.stream) == ("error", 500, True)


def test_a_shadow_still_running_when_trimtab_closes_is_recorded_as_abandoned(
    client: Any, tt: Trimtab, store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trimtab.sdk.process_plane._DRAIN_SECONDS", 0.05)
    store.publish(store.release(1, model="gpt-a"), store.release(2, model="gpt-b-slow"), shadow=1.0)
    store.wait_until_serving(tt)
    client.chat.completions.create(**ASK)
    tt.close()
    _, shadow = store.events()
    assert (shadow.arm, shadow.status, shadow.error_code) == ("shadow", "aborted", "mirror_abandoned")


def test_the_asynchronous_client_does_the_same(upstream: Any, tt: Trimtab, store: Any) -> None:
    store.publish(store.release(1, model="gpt-a"), store.release(2, model="gpt-b"), shadow=1.0)
    store.wait_until_serving(tt)

    async def main() -> None:
        async with AsyncOpenAI(base_url=f"{upstream.url}/v1", api_key="k", max_retries=0) as plain:
            client: Any = tt.wrap(plain)
            answer = await client.chat.completions.create(**ASK)
            assert answer.trimtab.arm == "matched_control"
            stream = await client.chat.completions.create(**ASK, stream=True)
            async with stream:
                text = [chunk.choices[0].delta.content or "" async for chunk in stream]
            assert "".join(text) == "answer of gpt-a"
            broken = await client.chat.completions.create(**ASK | {"user": ""}, stream=True)
            await anext(broken)
            await broken.close()
            await asyncio.to_thread(store.wait_for, 5, tt)

    asyncio.run(main())
    found = store.generations(tt)
    assert sorted((event.arm, event.stream, event.status) for event in found) == [
        ("matched_control", False, "ok"),
        ("matched_control", True, "ok"),
        ("shadow", False, "ok"),
        ("shadow", True, "ok"),
        ("stable", True, "aborted"),
    ]


def test_a_cancelled_call_is_the_callers_doing(upstream: Any, tt: Trimtab, store: Any) -> None:
    store.publish(store.release(1, model="gpt-slow"))
    store.wait_until_serving(tt)

    async def main() -> None:
        async with AsyncOpenAI(base_url=f"{upstream.url}/v1", api_key="k", max_retries=0) as plain:
            task = asyncio.ensure_future(tt.wrap(plain).chat.completions.create(**ASK))
            await asyncio.to_thread(upstream.arrived.wait, 10)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(main())
    assert [(event.status, event.error_code) for event in store.generations(tt)] == [("aborted", "caller_gone")]
