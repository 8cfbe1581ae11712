"""Whole model calls from the caller's process: the `openai` package, bare and wrapped, and managed calls."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import minijinja
import msgspec

from benchmarks.harness.turns import Case
from benchmarks.sdk_feature import MODEL, TEMPLATE, VARIABLES

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Awaitable, Callable, Iterator

    from trimtab.sdk.client import Trimtab
    from trimtab.sdk.managed import AsyncCalls

__all__ = ["open_call_cases"]

_AT_ONCE = 16
_ASK = {"role": "user", "content": "Where is my order 48213? It was supposed to arrive on Monday."}


def open_call_cases(tt: Trimtab, base_url: str, stack: contextlib.ExitStack, skipped: dict[str, str]) -> Iterator[Case]:
    """Yield one case for each way to call; all send the same request and read the same answer."""
    system = {"role": "system", "content": minijinja.Environment().render_str(TEMPLATE, **VARIABLES)}
    request: dict[str, Any] = {"model": MODEL, "messages": [system, _ASK], "user": "u1", "temperature": 0.2}
    try:
        yield from _openai_cases(tt, base_url, request, stack)
    except ModuleNotFoundError as missing:
        skipped["openai"] = str(missing)
    yield _floor_case(int(base_url.partition("://")[2].partition("/")[0].rpartition(":")[2]), request, stack)
    try:
        yield from _managed_cases(tt, stack)
    except ModuleNotFoundError as missing:
        skipped["managed calls"] = str(missing)


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
    yield Case(f"openai client, {_AT_ONCE} at once", batch=lambda calls: loop.run_until_complete(_at_once(many, calls)))


def _managed_cases(tt: Trimtab, stack: contextlib.ExitStack) -> Iterator[Case]:
    """Decide, render, call with retries armed, record: all of it in one call."""
    import uvloop

    yield Case(
        "trimtab: managed call",
        lambda: tt.chat("support-reply", unit="u1", variables=VARIABLES, messages=[_ASK]),
        after=tt.flush,
    )
    for name, loop in (("asyncio", asyncio.new_event_loop()), ("uvloop", uvloop.new_event_loop())):
        stack.callback(loop.close)
        calls = loop.run_until_complete(_opened(tt))
        stack.callback(lambda loop=loop, calls=calls: loop.run_until_complete(calls.aclose()))

        async def many(count: int, calls: AsyncCalls = calls) -> None:
            for _ in range(count):
                await calls.chat("support-reply", unit="u1", variables=VARIABLES, messages=[_ASK])

        yield Case(
            f"trimtab: managed call, asynchronous ({name})",
            batch=lambda count, loop=loop, many=many: loop.run_until_complete(many(count)),
            after=tt.flush,
        )
        yield Case(
            f"trimtab: managed call, {_AT_ONCE} at once ({name})",
            batch=lambda count, loop=loop, many=many: loop.run_until_complete(_at_once(many, count)),
            after=tt.flush,
        )


async def _at_once(many: Callable[[int], Awaitable[None]], count: int) -> None:
    await asyncio.gather(*(many(-(-count // _AT_ONCE)) for _ in range(_AT_ONCE)))


def _floor_case(port: int, request: dict[str, Any], stack: contextlib.ExitStack) -> Case:
    """What no client on asyncio goes below: the same bytes, made once and written; an answer that nobody reads.

    Most of it is the kernel's, which wakes the upstream on another core and then this process.
    """
    body = msgspec.json.encode(request)
    lines = f"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-type: application/json\r\n"
    sent = f"{lines}content-length: {len(body)}\r\n\r\n".encode() + body
    loop = _loop(stack)
    transport, floor = loop.run_until_complete(loop.create_connection(_Floor, "127.0.0.1", port))
    stack.callback(transport.close)

    async def many(count: int) -> None:
        for _ in range(count):
            floor.answered = loop.create_future()
            transport.write(sent)
            await floor.answered

    return Case("floor: asyncio, bytes made before", batch=lambda count: loop.run_until_complete(many(count)))


class _Floor(asyncio.Protocol):
    """Answers are small enough to come in one piece."""

    answered: asyncio.Future[None]

    def data_received(self, data: bytes) -> None:  # noqa: ARG002 - nobody reads it
        self.answered.set_result(None)


async def _opened(tt: Trimtab) -> AsyncCalls:
    return tt.async_calls()


def _loop(stack: contextlib.ExitStack) -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    stack.callback(loop.close)
    return loop
