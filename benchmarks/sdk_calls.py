"""Whole model calls from the caller's process: the `openai` package, bare and wrapped, and our own client."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import minijinja

from benchmarks.harness.turns import Case
from benchmarks.sdk_feature import MODEL, TEMPLATE, VARIABLES

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Iterator

    from trimtab.sdk.client import Trimtab

__all__ = ["open_call_cases"]

_ASK = {"role": "user", "content": "Where is my order 48213? It was supposed to arrive on Monday."}


def open_call_cases(tt: Trimtab, base_url: str, stack: contextlib.ExitStack, skipped: dict[str, str]) -> Iterator[Case]:
    """Yield one case for each way to call; all send the same request and read the same answer."""
    system = {"role": "system", "content": minijinja.Environment().render_str(TEMPLATE, **VARIABLES)}
    request: dict[str, Any] = {"model": MODEL, "messages": [system, _ASK], "user": "u1", "temperature": 0.2}
    try:
        yield from _openai_cases(tt, base_url, request, stack)
    except ModuleNotFoundError as missing:
        skipped["openai"] = str(missing)
    try:
        yield from _own_client(base_url, request, stack)
    except ModuleNotFoundError as missing:
        skipped["trimtab's own client"] = str(missing)


def _openai_cases(tt: Trimtab, base_url: str, request: dict[str, Any], stack: contextlib.ExitStack) -> Iterator[Case]:
    from openai import AsyncOpenAI, OpenAI

    client = stack.enter_context(OpenAI(base_url=base_url, api_key="k"))
    wrapped: Any = tt.wrap(client)
    create: Any = client.chat.completions.create
    yield Case("openai client", lambda: create(**request))
    yield Case(
        "openai client, wrapped by trimtab",
        lambda: wrapped.chat.completions.create(
            model="support-reply", messages=[_ASK], user="u1", trimtab={"variables": VARIABLES}
        ),
        after=tt.flush,
    )
    loop = _loop(stack)
    asynchronous = AsyncOpenAI(base_url=base_url, api_key="k")
    stack.callback(lambda: loop.run_until_complete(asynchronous.close()))
    call: Any = asynchronous.chat.completions.create

    async def many(calls: int) -> None:
        for _ in range(calls):
            await call(**request)

    yield Case("openai client, asynchronous", batch=lambda calls: loop.run_until_complete(many(calls)))


def _own_client(base_url: str, request: dict[str, Any], stack: contextlib.ExitStack) -> Iterator[Case]:
    """The upstream client of the gateway, with JSON written and read: what a managed call stands on."""
    import uvloop

    from trimtab.providers.http import UpstreamClient, fetch

    loop = _loop(stack, uvloop.new_event_loop())

    async def open_client() -> UpstreamClient:
        return UpstreamClient(base_url)

    client = loop.run_until_complete(open_client())
    stack.callback(lambda: loop.run_until_complete(client.close()))

    async def many(calls: int) -> None:
        for _ in range(calls):
            reply = await fetch(client, b"POST", b"/chat/completions", body=json.dumps(request).encode())
            assert json.loads(reply.body)["choices"][0]["finish_reason"] == "stop"

    yield Case("floor: trimtab's HTTP client and json", batch=lambda calls: loop.run_until_complete(many(calls)))


def _loop(stack: contextlib.ExitStack, loop: asyncio.AbstractEventLoop | None = None) -> asyncio.AbstractEventLoop:
    loop = loop or asyncio.new_event_loop()
    stack.callback(loop.close)
    return loop
