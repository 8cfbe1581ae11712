"""Stock clients of a simulator, and what the tests beside this one ask it.

Not a test module.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, NamedTuple

import anthropic
import openai

from trimtab.providers.http import HttpServer, UpstreamClient
from trimtab.sim.config import SimConfig
from trimtab.sim.server import SimApplication

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from trimtab.sim.replay import ReplaySource

__all__ = ["MESSAGES", "QUESTION", "RESPONSES", "SCHEMA", "SYSTEM", "Clients", "play", "same"]

SYSTEM, QUESTION = "Reply in JSON", "Where is order A-1007?"
SCHEMA = {"type": "object", "properties": {"order_id": {"type": "string"}, "days": {"type": "integer"}}}
MESSAGES: dict[str, Any] = {
    "model": "m",
    "max_tokens": 100,
    "system": SYSTEM,
    "messages": [{"role": "user", "content": QUESTION}],
}
RESPONSES: dict[str, Any] = {"model": "m", "instructions": SYSTEM, "input": QUESTION}


class Clients(NamedTuple):
    openai: openai.AsyncOpenAI
    anthropic: anthropic.AsyncAnthropic
    application: SimApplication
    upstream: UpstreamClient


@contextlib.asynccontextmanager
async def simulator(config: SimConfig | None = None, *, replay: ReplaySource | None = None) -> AsyncIterator[Clients]:
    application = SimApplication(config or SimConfig(), replay=replay)
    server = HttpServer(application)
    host, port = await server.start("127.0.0.1", 0)
    url = f"http://{host}:{port}"
    raw = UpstreamClient(url)
    async with (
        openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as one,
        anthropic.AsyncAnthropic(base_url=url, api_key="none", max_retries=0) as other,
    ):
        try:
            yield Clients(one, other, application, raw)
        finally:
            await raw.close()
            await server.drain(1.0)


def play(story: Callable[[Clients], Awaitable[None]], config: SimConfig | None = None, **more: Any) -> None:
    async def run() -> None:
        async with simulator(config, **more) as clients:
            await story(clients)

    asyncio.run(run())


def same(whole: Any, streamed: Any) -> bool:
    """Whether a streamed answer is the whole one, whatever its client added when it parsed it."""
    return bool(_unparsed(whole.to_dict()) == _unparsed(streamed.to_dict()))


def _unparsed(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _unparsed(item) for name, item in value.items() if not name.startswith("parsed")}
    return [_unparsed(item) for item in value] if isinstance(value, list) else value
