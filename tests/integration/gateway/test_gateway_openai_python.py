"""The stock `openai` Python client against the gateway."""

from __future__ import annotations

import asyncio
import hashlib
import json
from typing import TYPE_CHECKING, Any

import openai
import pytest

from trimtab.artifacts.model import SchemaContent, ToolDefinition, ToolsContent
from trimtab.sim.config import Rule, SimConfig

if TYPE_CHECKING:
    from collections.abc import Callable

SHOP: dict[str, Any] = {"trimtab": {"variables": {"shop": "Acme"}}}
ASK: list[Any] = [{"role": "user", "content": "Where is order A-1007?"}]
TOOLS = ToolsContent(
    tools=[
        ToolDefinition(
            name="track", parameters={"type": "object", "properties": {"order_id": {"type": "string"}}}, description="x"
        )
    ]
)


def test_a_call_is_answered_stamped_and_recorded(stack: Callable[..., Any]) -> None:
    here = stack()
    raw = here.client().chat.completions.with_raw_response.create(
        model="support-reply", user="user-1", messages=ASK, extra_body=SHOP
    )
    reply = raw.parse()
    assert json.loads(reply.choices[0].message.content)["order_id"] == "A-1007"
    assert raw.headers["x-trimtab-release"] == "support-reply#1"
    assert raw.headers["x-trimtab-arm"] == "stable"
    assert raw.headers["x-trimtab-environment"] == "production"
    assert "x-trimtab-rollout" not in raw.headers
    assert raw.headers["x-request-id"].startswith("req_sim_")
    assert "openai-processing-ms" in raw.headers
    [event] = here.generations(1)
    assert event.id == raw.headers["x-trimtab-generation"]
    assert event.release == raw.headers["x-trimtab-digest"]
    assert event.messages == [{"role": "system", "content": "You answer customers of Acme in JSON."}, *ASK]
    assert (event.unit, event.status, event.http_status, event.stream) == ("user-1", "ok", 200, False)
    assert event.output == reply.choices[0].message.content
    assert (event.input_tokens, event.output_tokens) == (reply.usage.prompt_tokens, reply.usage.completion_tokens)
    assert event.cost_usd == pytest.approx((event.input_tokens + 2 * event.output_tokens) / 1e6)
    assert event.served_model == event.requested_model == reply.model == "gpt-4o-mini-2024-07-18"
    assert event.finish_reason == "stop"
    assert event.latency_ms > 0
    assert event.variables == {"shop": "Acme"}


@pytest.mark.parametrize("asked", [True, False])
def test_a_stream_arrives_whole_with_usage_only_where_asked(stack: Callable[..., Any], asked: bool) -> None:  # noqa: FBT001
    here = stack()
    options: dict[str, Any] = {"stream_options": {"include_usage": True}} if asked else {}
    stream = here.client().chat.completions.create(
        model="support-reply", messages=ASK, extra_body=SHOP, stream=True, **options
    )
    chunks = list(stream)
    said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert json.loads(said)["order_id"] == "A-1007"
    assert [chunk for chunk in chunks if chunk.usage] == (chunks[-1:] if asked else [])
    [event] = here.generations(1)
    assert (event.output, event.stream, event.finish_reason) == (said, True, "stop")
    assert event.output_tokens > 0
    assert 0 < event.first_token_ms <= event.latency_ms


@pytest.mark.parametrize("stream", [True, False])
def test_tools_of_the_release_are_called(stack: Callable[..., Any], release: Callable[..., Any], stream: bool) -> None:  # noqa: FBT001
    here = stack(release(tools=TOOLS), sim=SimConfig(rules=[Rule(name="call", tool_call_rate=1.0)]))
    reply = here.client().chat.completions.create(model="support-reply", messages=ASK, extra_body=SHOP, stream=stream)
    if stream:
        pieces = [chunk.choices[0].delta.tool_calls for chunk in reply if chunk.choices[0].delta.tool_calls]
        assert "".join(piece[0].function.arguments for piece in pieces) == '{"order_id":"A-1007"}'
    else:
        assert reply.choices[0].message.tool_calls[0].function.name == "track"
    [event] = here.generations(1)
    assert event.finish_reason == "tool_calls"
    [call] = event.tool_calls
    assert call["function"] == {"name": "track", "arguments": '{"order_id":"A-1007"}'}
    assert call["id"].startswith("call_")


def test_the_schema_of_the_release_is_the_response_format(
    stack: Callable[..., Any], release: Callable[..., Any]
) -> None:
    schema = {"type": "object", "properties": {"verdict": {"enum": ["late", "lost"]}}}
    here = stack(release(schema=SchemaContent(name="verdict", schema=schema)))
    reply = here.client().chat.completions.create(model="support-reply", messages=ASK, extra_body=SHOP)
    assert json.loads(reply.choices[0].message.content) == {"verdict": "late"}


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("step", "rule"),
    [
        ("strip_code_fence", Rule(name="fenced", fence_rate=1.0)),
        ("extract_json", Rule(name="wrapped", preamble_rate=1.0)),
    ],
)
def test_output_adapters_apply_to_answer_and_record(
    stack: Callable[..., Any],
    release: Callable[..., Any],
    step: str,
    rule: Rule,
    stream: bool,  # noqa: FBT001
) -> None:
    here = stack(release(steps=[step]), sim=SimConfig(rules=[rule]))
    reply = here.client().chat.completions.create(model="support-reply", messages=ASK, extra_body=SHOP, stream=stream)
    if stream:
        said = "".join(chunk.choices[0].delta.content or "" for chunk in reply)
    else:
        said = reply.choices[0].message.content
    assert json.loads(said)["order_id"] == "A-1007"
    assert here.generations(1)[0].output == said


@pytest.mark.parametrize("stream", [True, False])
def test_a_refusal_is_passed_on_and_recorded(stack: Callable[..., Any], stream: bool) -> None:  # noqa: FBT001
    here = stack(sim=SimConfig(rules=[Rule(name="no", refusal_rate=1.0, refusal="I cannot.")]))
    reply = here.client().chat.completions.create(model="support-reply", messages=ASK, extra_body=SHOP, stream=stream)
    if stream:
        assert "".join(chunk.choices[0].delta.refusal or "" for chunk in reply) == "I cannot."
    else:
        assert reply.choices[0].message.refusal == "I cannot."
    [event] = here.generations(1)
    assert (event.output, event.finish_reason, event.status) == ("I cannot.", "refusal", "ok")


def test_embeddings_and_models(stack: Callable[..., Any], release: Callable[..., Any]) -> None:
    embedding = release(feature="search", system="", model="text-embedding-3-small", parameters={"dimensions": 64})
    here = stack(release(), embedding)
    client = here.client()
    vectors = client.embeddings.create(model="search", input=["one", "two"], user="u")
    assert [len(item.embedding) for item in vectors.data] == [64, 64]
    assert [model.id for model in client.models.list()] == ["search", "support-reply"]
    assert client.models.retrieve("search").owned_by == "support"
    with pytest.raises(openai.NotFoundError, match="support-reply"):
        client.models.retrieve("support-replay")
    with pytest.raises(openai.BadRequestError) as pinned:
        client.embeddings.create(model="search", input="x", dimensions=3)
    assert pinned.value.param == "dimensions"
    first, second = here.generations(2)
    assert (first.feature, first.unit, first.input_tokens > 0, first.status) == ("search", "u", True, "ok")
    assert (second.status, second.error_code) == ("error", "pinned_field")


def test_the_async_client_runs_many_calls_at_once(stack: Callable[..., Any]) -> None:
    here = stack(sim=SimConfig(chunk_gap_ms=0.5))

    async def one(client: openai.AsyncOpenAI, number: int) -> str:
        ask: list[Any] = [{"role": "user", "content": f"Where is order B-{1000 + number}?"}]
        if number % 2:
            stream = await client.chat.completions.create(
                model="support-reply", messages=ask, extra_body=SHOP, stream=True
            )
            return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
        reply = await client.chat.completions.create(model="support-reply", messages=ask, extra_body=SHOP)
        return reply.choices[0].message.content or ""

    async def story() -> list[str]:
        async with openai.AsyncOpenAI(base_url=here.base_url, api_key="x", max_retries=0) as client:
            return await asyncio.gather(*(one(client, number) for number in range(40)))

    answers = asyncio.run(story())
    assert [json.loads(answer)["order_id"] for answer in answers] == [f"B-{1000 + number}" for number in range(40)]
    assert {event.output for event in here.generations(40)} == set(answers)


def test_keys_are_asked_for_where_there_are_any(stack: Callable[..., Any]) -> None:
    here = stack(keys={hashlib.sha256(b"tk-good").hexdigest(): "support"})
    good = here.client(api_key="tk-good")
    assert good.chat.completions.create(model="support-reply", messages=ASK, extra_body=SHOP).choices
    for wrong in ("tk-bad", "tk-good2"):
        with pytest.raises(openai.AuthenticationError) as refused:
            here.client(api_key=wrong).chat.completions.create(model="support-reply", messages=ASK)
        assert refused.value.code == "invalid_api_key"
    with pytest.raises(openai.AuthenticationError):
        here.client(api_key="tk-bad").models.list()


def test_what_the_caller_gets_wrong_is_named(stack: Callable[..., Any], release: Callable[..., Any]) -> None:
    here = stack(release(tools=TOOLS))
    create = here.client().chat.completions.create
    system: list[Any] = [{"role": "system", "content": "Be rude."}]
    shop = {"variables": {"shop": "Acme"}}
    for options, code, param in (
        ({"temperature": 1.0}, "pinned_field", "temperature"),
        ({"tools": [{"type": "function", "function": {"name": "x"}}]}, "pinned_field", "tools"),
        ({"messages": [*ASK, *system]}, "pinned_field", "messages[1].role"),
        ({"extra_body": {"trimtab": shop, "temprature": 1}}, "unknown_field", "temprature"),
        ({"extra_body": {"trimtab": {"variabels": {}}}}, "unknown_field", "trimtab.variabels"),
        ({"extra_body": {"trimtab": {"variables": {}}}}, "missing_variable", "variables.shop"),
        ({"extra_body": {"trimtab": {"variables": {"shop": "a", "shp": 1}}}}, "unknown_variable", "variables.shp"),
        ({"extra_body": {"trimtab": {"variables": {"shop": 3}}}}, "invalid_variable", "variables.shop"),
    ):
        with pytest.raises(openai.BadRequestError) as refused:
            create(**{"model": "support-reply", "messages": ASK, "extra_body": SHOP, **options})
        assert (refused.value.code, refused.value.param) == (code, param)
        decided = code != "unknown_field" or param == "temprature"
        assert ("x-trimtab-release" in refused.value.response.headers) == decided
    with pytest.raises(openai.NotFoundError) as unknown:
        create(model="support-replay", messages=ASK)
    assert (unknown.value.code, unknown.value.param) == ("model_not_found", "model")
    assert "support-reply" in unknown.value.message
    assert {event.status for event in here.generations(7)} == {"error"}


def test_numbers_beyond_64_bits_pass_and_the_call_is_recorded_without_them(stack: Callable[..., Any]) -> None:
    here = stack()
    odd: list[Any] = [{"role": "user", "content": [{"type": "text", "text": "order", "n": 10**30}]}]
    assert here.client().chat.completions.create(model="support-reply", messages=odd, extra_body=SHOP).choices
    [event] = here.generations(1)
    assert (event.status, event.messages) == ("ok", [])


def test_upstream_errors_keep_their_status_and_headers(stack: Callable[..., Any]) -> None:
    here = stack(sim=SimConfig(rules=[Rule(name="limit", error_rate=1.0, error_status=429)]))
    with pytest.raises(openai.RateLimitError) as limited:
        here.client().chat.completions.create(model="support-reply", messages=ASK, extra_body=SHOP, stream=True)
    assert limited.value.response.headers["retry-after"] == "1"
    assert limited.value.response.headers["x-trimtab-release"] == "support-reply#1"
    [event] = here.generations(1)
    assert (event.status, event.http_status, event.error_code) == ("error", 429, "rate_limit_exceeded")


def test_a_provider_that_refuses_our_key_is_our_failure_not_the_callers(stack: Callable[..., Any]) -> None:
    here = stack(sim=SimConfig(rules=[Rule(name="key", error_rate=1.0, error_status=401)]))
    with pytest.raises(openai.InternalServerError) as failed:
        here.client().chat.completions.create(model="support-reply", messages=ASK, extra_body=SHOP)
    assert (failed.value.status_code, failed.value.code) == (502, "upstream_authentication_failed")


def test_a_missing_provider_or_key_is_named(stack: Callable[..., Any], release: Callable[..., Any]) -> None:
    here = stack(release(provider="nowhere"), release(feature="other", provider="keyless"))
    create = here.client().chat.completions.create
    with pytest.raises(openai.InternalServerError, match="nowhere"):
        create(model="support-reply", messages=ASK, extra_body=SHOP)
    with pytest.raises(openai.InternalServerError, match="NO_SUCH_KEY"):
        create(model="other", messages=ASK, extra_body=SHOP)


def test_a_dead_upstream_is_502_with_the_release_in_the_headers(stack: Callable[..., Any]) -> None:
    here = stack(upstream="http://127.0.0.1:9/v1")
    with pytest.raises(openai.InternalServerError) as dead:
        here.client().chat.completions.create(model="support-reply", messages=ASK, extra_body=SHOP)
    assert (dead.value.status_code, dead.value.code) == (502, "upstream_unreachable")
    assert dead.value.response.headers["x-trimtab-release"] == "support-reply#1"
    [event] = here.generations(1)
    assert (event.id, event.http_status) == (dead.value.response.headers["x-trimtab-generation"], 502)


def test_without_capture_no_content_is_recorded(stack: Callable[..., Any]) -> None:
    here = stack(capture=False)
    here.client().chat.completions.create(model="support-reply", messages=ASK, extra_body=SHOP)
    [event] = here.generations(1)
    assert (event.messages, event.output, event.variables) == ([], "", {})
    assert event.output_tokens > 0
