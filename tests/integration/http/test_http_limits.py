"""What one caller may take: sizes, counts and time. Whoever is slower or bigger than that is told and let go."""

from __future__ import annotations

import asyncio
import time
import tracemalloc
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.integration.http.conftest import Caller, Conversation, Recorder

HOST = b"host: here\r\n"
HEAD = b"POST /first HTTP/1.1\r\nhost: here\r\n"
NEXT = b"GET /smuggled HTTP/1.1\r\nhost: here\r\n\r\n"
KIB = 1024


@pytest.mark.parametrize(
    "lines",
    [
        b"x: " + b"y" * 5000 + b"\r\n",
        b"x" * 5000 + b": y\r\n",
        b"".join(b"x-%d: y\r\n" % number for number in range(500)),
        b"x: y\r\n" * 1000,
        b"x:\r\n" * 1500,
    ],
)
def test_a_head_beyond_its_limit_is_431(converse: Callable[..., Conversation], lines: bytes) -> None:
    for pieces in (
        (HEAD + lines + b"\r\n" + NEXT,),
        (HEAD, lines, b"\r\n" + NEXT),
        (NEXT + HEAD + lines + b"\r\n" + NEXT,),  # behind another request in one packet
        (HEAD + lines,),
    ):
        talk = converse(*pieces, max_head_bytes=4 * KIB)
        assert talk.statuses[-1] == 431
        assert len(talk.seen) == len(talk.statuses) - 1
        assert len(talk.seen) == (1 if pieces[0].startswith(NEXT) else 0)


def test_a_target_beyond_the_limit_is_414(converse: Callable[..., Conversation]) -> None:
    line = b"GET /" + b"x" * 5000
    for pieces in ((line,), (line + b" HTTP/1.1\r\n" + HOST + b"\r\n" + NEXT,), (line[:3000], line[3000:])):
        talk = converse(*pieces, max_head_bytes=4 * KIB)
        assert (talk.statuses, talk.seen) == ([414], [])


def test_a_head_within_the_limit_is_served_whatever_comes_with_it(converse: Callable[..., Conversation]) -> None:
    body = b"b" * 20_000
    one = HEAD + b"x: " + b"y" * 3000 + b"\r\ncontent-length: %d\r\n\r\n" % len(body) + body
    talk = converse(one * 5, max_head_bytes=4 * KIB)
    assert talk.seen == [(b"POST", b"/first", body)] * 5


def test_the_same_header_many_times_is_refused_before_it_costs_time(converse: Callable[..., Conversation]) -> None:
    assert converse(HEAD + b"x: y\r\n" * 10_000 + b"\r\n" + NEXT, max_head_bytes=10**6).statuses == [431]
    assert converse(HEAD + b"x: y\r\n" * 20 + b"\r\n").statuses == [200]


@pytest.mark.parametrize("size", [1000, 1001])
def test_the_limit_of_a_body_is_on_what_it_decodes_to(converse: Callable[..., Conversation], size: int) -> None:
    body = b"x" * size
    plain = HEAD + b"content-length: %d\r\n\r\n" % size + body
    fine = b"".join(b"1;ext=%s\r\nx\r\n" % (b"e" * 3) for _ in range(size)) + b"0\r\n\r\n"
    coarse = b"%x\r\n%s\r\n0\r\n\r\n" % (size, body)
    for raw in (plain, *[HEAD + b"transfer-encoding: chunked\r\n\r\n" + chunks for chunks in (coarse,)]):
        talk = converse(raw + NEXT, max_body_bytes=1000)
        assert talk.statuses == ([200, 200] if size <= 1000 else [413])
        assert len(talk.seen) == (2 if size <= 1000 else 0)
    wasteful = converse(HEAD + b"transfer-encoding: chunked\r\n\r\n" + fine, max_body_bytes=1000)
    assert wasteful.statuses == ([200] if size <= 1000 else [413])


@pytest.mark.parametrize(
    "endless",
    [
        b"1;" + b"e" * 400_000,  # one chunk extension
        b"1;e=f\r\nx\r\n" * 40_000,
        b"0\r\n" + b"trailer: x\r\n" * 40_000,
        b"0\r\n" + b"".join(b"t-%d: x\r\n" % number for number in range(40_000)),
        b"0\r\ntrailer: " + b"x" * 400_000,
    ],
)
def test_what_surrounds_a_chunked_body_is_limited_too(converse: Callable[..., Conversation], endless: bytes) -> None:
    talk = converse(
        HEAD + b"transfer-encoding: chunked\r\n\r\n" + endless, max_body_bytes=20 * KIB, max_head_bytes=4 * KIB
    )
    assert (talk.statuses, talk.seen) == ([413], [])


@pytest.mark.parametrize("start", [b"GET /", HEAD + b"x: y", HEAD + b"content-length: 999\r\n\r\nhel"])
def test_a_caller_that_drips_is_told_and_let_go(play: Callable[..., Recorder], start: bytes) -> None:
    async def story(caller: Caller) -> None:
        async def drip() -> None:
            while True:
                caller.writer.write(b"x")  # never the end of anything: progress alone buys no time
                await asyncio.sleep(0.02)

        await caller.send(start)
        dripping = asyncio.create_task(drip())
        raw = await caller.reader.readuntil(b"\r\n\r\n")
        dripping.cancel()
        assert raw.startswith(b"HTTP/1.1 408 ")
        assert b"connection: close" in raw

    assert play(story, request_seconds=0.3).handled == []


def test_a_caller_that_says_nothing_is_let_go_without_a_word(converse: Callable[..., Conversation]) -> None:
    assert converse(b"", idle_seconds=0.1).raw == b""


def test_an_idle_connection_is_let_go_after_its_last_answer(play: Callable[..., Recorder]) -> None:
    async def story(caller: Caller) -> None:
        await caller.send(NEXT)
        assert (await caller.reader.read()).startswith(b"HTTP/1.1 200")  # read to the end: the server closed

    play(story, idle_seconds=0.1)


def test_a_caller_that_stops_reading_is_cut_off_and_costs_little_memory(play: Callable[..., Recorder]) -> None:
    async def story(caller: Caller) -> None:
        caller.writer.transport.pause_reading()  # type: ignore[attr-defined]
        tracemalloc.start()
        await caller.send(b"GET /flood HTTP/1.1\r\n" + HOST + b"\r\n")
        await caller.until(lambda: caller.application.paused)
        held, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert held < 2 * KIB * KIB
        await caller.until(lambda: caller.application.aborted)

    assert play(story, write_seconds=0.3).paused == 1


def test_a_caller_that_reads_slowly_is_waited_for(play: Callable[..., Recorder]) -> None:
    async def story(caller: Caller) -> None:
        await caller.send(b"GET /flood HTTP/1.1\r\n" + HOST + b"\r\n")
        until = time.monotonic() + 1.5  # more than twice what a caller that reads nothing is given
        while time.monotonic() < until:
            await caller.reader.read(65536)
            await asyncio.sleep(0.002)
        assert caller.application.aborted == []

    play(story, write_seconds=0.6)


def test_many_connections_that_do_nothing_do_not_keep_others_from_being_served(play: Callable[..., Recorder]) -> None:
    async def story(caller: Caller) -> None:
        host, port = caller.writer.get_extra_info("peername")
        idle = [await asyncio.open_connection(host, port) for _ in range(100)]
        for _, writer in idle:
            writer.write(b"GET / HTTP/1.1\r\nx: ")
        await caller.send(NEXT)
        assert (await caller.reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")
        for _, writer in idle:
            writer.close()

    play(story)


def test_whoever_reads_no_answers_gets_no_more_requests_executed(play: Callable[..., Recorder]) -> None:
    async def story(caller: Caller) -> None:
        caller.writer.transport.pause_reading()  # type: ignore[attr-defined]
        before = -1
        while len(caller.application.handled) != before:
            before = len(caller.application.handled)
            while caller.writer.transport.get_write_buffer_size() < 64 * KIB:
                caller.writer.write(NEXT * 5_000)
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.05)
        caller.writer.transport.abort()

    play(story)
