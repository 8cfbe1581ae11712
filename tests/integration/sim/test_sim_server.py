from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Any

import openai
import pytest

from trimtab.providers.http import HttpServer, UpstreamClient, fetch
from trimtab.sim.config import Latency, Rule, SimConfig
from trimtab.sim.replay import Recorded, ReplaySource
from trimtab.sim.server import SimApplication

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

MESSAGES: list[Any] = [
    {"role": "system", "content": "Reply in JSON"},
    {"role": "user", "content": "Where is order A-1007?"},
]


@contextlib.asynccontextmanager
async def simulator(
    config: SimConfig | None = None, *, replay: ReplaySource | None = None
) -> AsyncIterator[tuple[openai.AsyncOpenAI, SimApplication]]:
    application = SimApplication(config or SimConfig(), replay=replay)
    server = HttpServer(application)
    host, port = await server.start("127.0.0.1", 0)
    async with openai.AsyncOpenAI(base_url=f"http://{host}:{port}/v1", api_key="none", max_retries=0) as client:
        try:
            yield client, application
        finally:
            await server.drain(1.0)


async def eventually(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not holds():  # noqa: ASYNC110 - the product has no event for it, and needs none
            await asyncio.sleep(0.005)


def test_the_openai_client_talks_to_it() -> None:
    async def story() -> None:
        async with simulator() as (client, _):
            reply = await client.chat.completions.create(model="m", messages=MESSAGES)
            assert json.loads(reply.choices[0].message.content or "")["order_id"] == "A-1007"
            assert reply.usage is not None
            assert reply.usage.completion_tokens > 5
            stream = await client.chat.completions.create(
                model="m",
                messages=MESSAGES,
                stream=True,
                stream_options={"include_usage": True},
            )
            chunks = [chunk async for chunk in stream]
            said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
            assert said == reply.choices[0].message.content
            assert chunks[-1].usage == reply.usage
            one = await client.embeddings.create(model="e", input=["where is it", "here"])
            assert [len(item.embedding) for item in one.data] == [256, 256]
            exact = await client.embeddings.create(model="e", input="where is it", encoding_format="float")
            assert one.data[0].embedding == pytest.approx(exact.data[0].embedding, abs=1e-6)
            listed = [model.id async for model in client.models.list()]
            assert "gpt-4o-mini-2024-07-18" in listed
            with pytest.raises(openai.NotFoundError):
                await client.models.retrieve("nope/none")

    asyncio.run(story())


def test_simulated_errors_raise_what_real_ones_raise() -> None:
    config = SimConfig(rules=[Rule(name="limit", error_rate=1.0, error_status=429)])

    async def story() -> None:
        async with simulator(config) as (client, _):
            with pytest.raises(openai.RateLimitError) as raised:
                await client.chat.completions.create(model="m", messages=MESSAGES)
            assert raised.value.response.headers["retry-after"] == "1"
            with pytest.raises(openai.BadRequestError):
                await client.post("/chat/completions", cast_to=object, body={"model": 3})

    asyncio.run(story())


def test_a_recording_is_replayed_and_a_miss_is_404() -> None:
    source = ReplaySource({("openaichat/gpt-4-0314", "Is 7 prime?"): [Recorded("[Yes]", 0.001)]})

    async def story() -> None:
        async with simulator(replay=source) as (client, _):
            asked: list[Any] = [{"role": "user", "content": "Is 7 prime?"}]
            reply = await client.chat.completions.create(model="gpt-4-0314", messages=asked)
            assert reply.choices[0].message.content == "[Yes]"
            with pytest.raises(openai.NotFoundError, match="gpt-4-0613"):
                await client.chat.completions.create(model="gpt-4-0613", messages=asked)

    asyncio.run(story())


def test_an_answer_nobody_waits_for_is_given_up() -> None:
    config = SimConfig(rules=[Rule(name="slow", latency=Latency(median_ms=60_000))])

    async def story() -> None:
        async with simulator(config) as (client, application):
            task = asyncio.create_task(client.chat.completions.create(model="m", messages=MESSAGES))
            await eventually(lambda: application.served == 1)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await eventually(lambda: application.aborted == 1)

    asyncio.run(story())


def test_unknown_paths_methods_and_bodies_are_answered_in_openai_shape() -> None:
    async def story() -> None:
        server = HttpServer(SimApplication(SimConfig()))
        host, port = await server.start("127.0.0.1", 0)
        client = UpstreamClient(f"http://{host}:{port}")
        for method, path, body, status in (
            (b"GET", b"/nope", b"", 404),
            (b"GET", b"/v1/chat/completions", b"", 405),
            (b"POST", b"/v1/chat/completions", b'{"model": "\xff"}', 400),
            (b"POST", b"/v1/chat/completions", b"[" * 100_000, 400),
            (b"POST", b"/v1/embeddings", b'{"model": "e", "input": "x", "dimensions": -1}', 400),
        ):
            reply = await fetch(client, method, path, body=body)
            assert (reply.status, json.loads(reply.body)["error"].keys()) == (
                status,
                {"message", "type", "param", "code"},
            )
        await client.close()
        await server.drain(1.0)

    asyncio.run(story())
