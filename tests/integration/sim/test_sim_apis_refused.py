"""What the simulator refuses, breaks and gives up, as the stock clients of Messages and Responses are told."""

from __future__ import annotations

import asyncio
import json

import anthropic
import openai
import pytest
from tests.integration.sim.sim_clients import MESSAGES, RESPONSES, SYSTEM, Clients, play

from trimtab.providers.http import fetch
from trimtab.sim.config import Latency, Rule, SimConfig


@pytest.mark.parametrize(
    ("status", "raised"),
    [
        (400, "BadRequestError"),
        (401, "AuthenticationError"),
        (429, "RateLimitError"),
        (500, "InternalServerError"),
        (529, "InternalServerError"),
    ],
)
def test_simulated_errors_raise_what_real_ones_raise(status: int, raised: str) -> None:
    async def story(to: Clients) -> None:
        with pytest.raises(getattr(anthropic, raised)) as one:
            await to.anthropic.messages.create(**MESSAGES)
        with pytest.raises(getattr(openai, raised)) as other:
            await to.openai.responses.create(**RESPONSES)
        for error in (one.value, other.value):
            assert error.status_code == status
            assert ("retry-after" in error.response.headers) == (status == 429)
        body = one.value.body
        assert (body["type"], body["error"]["message"]) == ("error", "simulated failure of rule `r`")

    play(story, SimConfig(rules=[Rule(name="r", error_rate=1.0, error_status=status)]))


def test_latency_and_leaving_early_are_those_of_chat() -> None:
    async def story(to: Clients) -> None:
        for ask in (to.anthropic.messages.create(**MESSAGES), to.openai.responses.create(**RESPONSES)):
            task = asyncio.ensure_future(ask)
            served, aborted = to.application.served, to.application.aborted
            async with asyncio.timeout(5):
                while to.application.served == served:  # noqa: ASYNC110 - the product has no event for it
                    await asyncio.sleep(0.005)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                while to.application.aborted == aborted:  # noqa: ASYNC110 - as above
                    await asyncio.sleep(0.005)

    play(story, SimConfig(rules=[Rule(name="slow", latency=Latency(median_ms=60_000))]))


def test_a_response_repeats_its_request_and_is_not_stored() -> None:
    async def story(to: Clients) -> None:
        response = await to.openai.responses.create(**RESPONSES, temperature=0.2, metadata={"a": "b"})
        assert (response.temperature, response.metadata, response.instructions) == (0.2, {"a": "b"}, SYSTEM)
        with pytest.raises(openai.BadRequestError) as raised:
            await to.openai.responses.create(**RESPONSES, previous_response_id=response.id)
        assert (raised.value.code, raised.value.param) == ("previous_response_not_found", "previous_response_id")

    play(story)


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "said"),
    [
        (b"GET", b"/v1/messages", b"", 405, "POST"),
        (b"POST", b"/v1/messages", b'{"model": "m", "messages": []}', 400, "max_tokens"),
        (b"POST", b"/v1/messages", b'{"model": "m", "max_tokens": 1, "messages": [{"role": "user"}]}', 400, "content"),
        (b"POST", b"/v1/messages", b"[" * 100_000, 400, "Messages"),
        (b"GET", b"/v1/responses", b"", 405, "POST"),
        (b"POST", b"/v1/responses", b'{"input": 3}', 400, "input"),
        (b"POST", b"/v1/responses", b'{"model": "\xff"}', 400, "Responses"),
    ],
)
def test_what_is_no_request_is_refused_in_the_shape_of_its_api(
    method: bytes, path: bytes, body: bytes, *, status: int, said: str
) -> None:
    async def story(to: Clients) -> None:
        reply = await fetch(to.upstream, method, path, body=body)
        told = json.loads(reply.body)
        assert reply.status == status
        assert said in told["error"]["message"]
        if path == b"/v1/messages":
            assert (told["type"], told["error"].keys()) == ("error", {"type", "message"})
        else:
            assert told["error"].keys() == {"message", "type", "param", "code"}

    play(story)
