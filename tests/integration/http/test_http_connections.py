"""A connection's life: pipelining, 100-continue, half-close, upgrade offers, HTTP/1.0, HEAD."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.integration.http.conftest import Caller, Conversation, Recorder

HOST = b"host: here\r\n"
NEXT = b"GET /smuggled HTTP/1.1\r\nhost: here\r\n\r\n"
LATER = b"POST /later HTTP/1.1\r\nhost: here\r\ncontent-length: 2\r\n\r\nhi"
EXPECT = b"POST /first HTTP/1.1\r\nhost: here\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n"


@pytest.fixture
def read_answers() -> Callable[..., list[Any]]:
    from tests.integration.http.conftest import read_answers

    return read_answers


def test_pipelined_requests_are_executed_and_answered_in_order(converse: Callable[..., Conversation]) -> None:
    raw = b"".join(b"POST /%d HTTP/1.1\r\nhost: here\r\ncontent-length: 1\r\n\r\n%d" % (n, n % 10) for n in range(100))
    talk = converse(raw)
    assert talk.seen == [(b"POST", b"/%d" % n, b"%d" % (n % 10)) for n in range(100)]
    assert talk.statuses == [200] * 100


@pytest.mark.parametrize(
    ("bad", "status"),
    [
        (b"GET / HTTP/1.1\r\nbad header\r\nhost: here\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nhost: here\r\ncontent-length: 999999999999\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\nhost: here\r\ncontent-length: 1\r\nexpect: miracles\r\n\r\nx", 417),
        (b"CONNECT here:1 HTTP/1.1\r\nhost: here\r\n\r\n", 405),
        (b"GET / HTTP/2.0\r\nhost: here\r\n\r\n", 505),
        (b"GARBAGE\r\n\r\n", 400),
    ],
)
def test_what_came_before_an_error_is_answered_and_nothing_after_it_is_executed(
    converse: Callable[..., Conversation], bad: bytes, status: int
) -> None:
    for pieces in ((NEXT + bad + NEXT + NEXT,), (NEXT + bad, NEXT, NEXT)):
        talk = converse(*pieces)
        assert talk.statuses == [200, status]
        assert len(talk.seen) == 1
        assert talk.answers[-1].headers[b"connection"] == b"close"


def test_an_error_behind_a_slow_answer_waits_for_its_turn(play: Callable[..., Recorder]) -> None:
    async def story(caller: Caller) -> None:
        await caller.send(LATER + b"GARBAGE\r\n\r\n" + NEXT)
        await caller.until(lambda: caller.application.waiting)
        await asyncio.sleep(0.01)
        assert caller.application.refused == []
        caller.application.waiting[0].respond(200, b"first")
        raw = await caller.reader.read()
        assert raw.index(b"first") < raw.index(b"HTTP/1.1 400")

    assert len(play(story).handled) == 1


def test_a_pipelining_caller_is_not_read_further_than_it_is_answered(play: Callable[..., Recorder]) -> None:
    async def story(caller: Caller) -> None:
        await caller.send(LATER)
        await caller.until(lambda: caller.application.waiting)
        while caller.writer.transport.get_write_buffer_size() == 0:  # until it backs up
            caller.writer.write(NEXT * 1000)
            await asyncio.sleep(0.001)
        admitted = len(caller.application.admitted)
        await asyncio.sleep(0.02)
        assert len(caller.application.admitted) == admitted
        assert len(caller.application.handled) == 1

    play(story)


def test_bodies_that_wait_for_their_turn_are_not_piled_up(play: Callable[..., Recorder]) -> None:
    large = b"POST /large HTTP/1.1\r\nhost: here\r\ncontent-length: 3000000\r\n\r\n" + b"x" * 3_000_000

    async def story(caller: Caller) -> None:
        await caller.send(LATER)
        await caller.until(lambda: caller.application.waiting)
        caller.writer.write(large * 8)
        left = -1
        while left != (left := caller.writer.transport.get_write_buffer_size()):  # noqa: ASYNC110 - until none is taken
            await asyncio.sleep(0.1)
        # The one that is answered, one that waits, and perhaps the head that came with its last bytes.
        assert len(caller.application.admitted) <= 3
        assert left > 10_000_000
        caller.application.waiting[0].respond(200, b"first")
        await caller.until(lambda: len(caller.application.handled) == 9)
        assert all(len(request.body) == 3_000_000 for request in caller.application.handled[1:])

    play(story)


@pytest.mark.parametrize("stock_loop", [False, True])
def test_a_caller_that_shut_down_its_sending_side_gets_every_answer(
    play: Callable[..., Recorder], *, stock_loop: bool
) -> None:
    async def story(caller: Caller) -> None:
        await caller.send(LATER + NEXT)
        caller.writer.write_eof()
        await caller.until(lambda: caller.application.waiting)
        await asyncio.sleep(0.6)  # longer than the server takes to ask whether anybody is still there
        caller.application.waiting[0].respond(200, b"first")
        raw = await caller.reader.read()
        assert raw.replace(b"HTTP/1.1 100 Continue\r\n\r\n", b"").count(b"HTTP/1.1 200") == 2
        assert raw.index(b"first") < raw.index(b"ok")

    application = play(story, stock_loop=stock_loop)
    assert len(application.handled) == 2
    assert application.aborted == []


@pytest.mark.parametrize("stock_loop", [False, True])
@pytest.mark.parametrize("head", [LATER, b"GET /later HTTP/1.0\r\n\r\n"])
def test_a_caller_that_closed_is_noticed_although_it_looks_the_same_at_first(
    play: Callable[..., Recorder], head: bytes, *, stock_loop: bool
) -> None:
    async def story(caller: Caller) -> None:
        await caller.send(head)
        await caller.until(lambda: caller.application.waiting)
        caller.writer.close()
        await caller.until(lambda: caller.application.aborted)

    play(story, stock_loop=stock_loop)


def test_a_half_closed_connection_without_a_request_is_closed(converse: Callable[..., Conversation]) -> None:
    assert converse().raw == b""
    assert converse(b"GET / HT").raw == b""
    assert converse(NEXT + b"GET / HT").statuses == [200]


def test_a_stream_goes_on_after_a_half_close(play: Callable[..., Recorder]) -> None:
    async def story(caller: Caller) -> None:
        await caller.send(LATER)
        await caller.until(lambda: caller.application.waiting)
        exchange = caller.application.waiting[0]
        exchange.start(200, b"")
        exchange.write(b"one")
        caller.writer.write_eof()
        await asyncio.sleep(0.3)
        exchange.write(b"two")
        exchange.end()
        assert (await caller.reader.read()).endswith(b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")

    assert play(story).aborted == []


def test_leave_to_send_a_body_is_given_once_and_before_the_answer(converse: Callable[..., Conversation]) -> None:
    assert converse(EXPECT, b"hello").statuses == [100, 200]
    for spelling in (b"100-Continue", b" 100-continue "):
        assert converse(EXPECT.replace(b"100-continue", spelling), b"hello").statuses == [100, 200]


def test_a_caller_that_does_not_wait_for_leave_is_served_all_the_same(converse: Callable[..., Conversation]) -> None:
    talk = converse(EXPECT + b"hello" + NEXT)
    assert talk.seen == [(b"POST", b"/first", b"hello"), (b"GET", b"/smuggled", b"")]
    assert [status for status in talk.statuses if status != 100] == [200, 200]


def test_a_refused_expectation_ends_the_connection_since_the_body_may_or_may_not_follow(
    converse: Callable[..., Conversation],
) -> None:
    refused = EXPECT.replace(b"/first", b"/refused")
    for pieces in ((refused,), (refused + b"hello" + NEXT,), (refused, b"hello" + NEXT), (refused, NEXT)):
        talk = converse(*pieces)
        assert (talk.statuses, talk.seen) == ([401], [])


@pytest.mark.parametrize("value", [b"miracles", b"100-continue, miracles", b"200-ok", b"100-continue;x"])
def test_an_expectation_nobody_can_meet_is_417(converse: Callable[..., Conversation], value: bytes) -> None:
    talk = converse(EXPECT.replace(b"100-continue", value) + b"hello" + NEXT)  # RFC 9110 §10.1.1
    assert (talk.statuses, talk.seen) == ([417], [])


def test_http_1_0_expects_nothing(converse: Callable[..., Conversation]) -> None:
    talk = converse(EXPECT.replace(b"HTTP/1.1", b"HTTP/1.0") + b"hello")
    assert (talk.statuses, talk.seen) == ([200], [(b"POST", b"/first", b"hello")])


@pytest.mark.parametrize(
    "offer",
    [
        b"connection: upgrade\r\nupgrade: websocket\r\n",
        b"connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n",
        b"connection: keep-alive, Upgrade\r\nupgrade: TLS/1.2, h2c\r\n",
    ],
)
def test_an_offer_to_upgrade_is_passed_over_whatever_the_framing(
    converse: Callable[..., Conversation], offer: bytes
) -> None:
    for framing in (b"content-length: 5\r\n\r\nhello", b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"):
        raw = NEXT + b"POST /first HTTP/1.1\r\n" + HOST + offer + framing + NEXT
        for pieces in ((raw,), [bytes([byte]) for byte in raw]):
            talk = converse(*pieces)
            assert talk.statuses == [200, 200, 200]
            assert talk.seen[1:] == [(b"POST", b"/first", b"hello"), (b"GET", b"/smuggled", b"")]


def test_an_offer_to_upgrade_does_not_undo_what_else_the_request_said(converse: Callable[..., Conversation]) -> None:
    offer = b"connection: close, upgrade\r\nupgrade: h2c\r\n\r\n"
    talk = converse(b"GET /first HTTP/1.1\r\n" + HOST + offer + NEXT)
    assert (talk.statuses, len(talk.seen)) == ([200], 1)
    assert talk.answers[0].headers[b"connection"] == b"close"
    old = converse(b"GET /stream HTTP/1.0\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n" + NEXT)
    assert (old.statuses, len(old.seen)) == ([200], 1)
    assert old.answers[0].body == b"onetwo"  # unframed: HTTP/1.0 knows no chunks
    both = b"connection: upgrade\r\nupgrade: h2c\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n"
    assert converse(b"POST /first HTTP/1.1\r\n" + HOST + both + b"0\r\n\r\n" + NEXT).seen == []


def test_a_packet_full_of_offers_to_upgrade_is_read_to_its_end(converse: Callable[..., Conversation]) -> None:
    offer = b"GET /first HTTP/1.1\r\n" + HOST + b"connection: upgrade\r\nupgrade: h2c\r\n\r\n"
    assert converse(offer * 1500 + NEXT).statuses == [200] * 1501


def test_http_1_0_is_kept_open_only_where_it_asks(converse: Callable[..., Conversation]) -> None:
    kept = b"GET /first HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"
    talk = converse(kept + kept + b"GET /last HTTP/1.0\r\n\r\n" + NEXT)
    assert [target for _, target, _ in talk.seen] == [b"/first", b"/first", b"/last"]
    assert [answer.headers[b"connection"] for answer in talk.answers] == [b"keep-alive", b"keep-alive", b"close"]


def test_a_stream_to_http_1_0_ends_with_the_connection(converse: Callable[..., Conversation]) -> None:
    talk = converse(b"GET /stream HTTP/1.0\r\nconnection: keep-alive\r\n\r\n" + NEXT)
    assert len(talk.seen) == 1
    assert talk.answers[0].body == b"onetwo"
    assert b"transfer-encoding" not in talk.answers[0].headers


@pytest.mark.parametrize("path", [b"/first", b"/stream", b"/refused"])
def test_head_never_gets_a_body_so_that_the_next_answer_is_where_it_should_be(
    converse: Callable[..., Conversation], read_answers: Callable[..., list[Any]], path: bytes
) -> None:
    one = b"HEAD " + path + b" HTTP/1.1\r\n" + HOST + b"\r\n"
    talk = converse(one + one)
    answers = read_answers(talk.raw, bodiless=True)
    assert len(answers) == 2
    assert {answer.body for answer in answers} == {b""}
    old = converse(b"HEAD " + path + b" HTTP/1.0\r\n\r\n")
    assert [answer.body for answer in read_answers(old.raw, bodiless=True)] == [b""]


def test_garbage_after_a_refusal_does_not_cost_the_caller_its_answer(converse: Callable[..., Conversation]) -> None:
    # An unread byte in the kernel makes closing a reset, and a reset eats the answer (RFC 9112 §9.6).
    talk = converse(b"GARBAGE\r\n\r\n" + b"x" * 300_000, *[b"y" * 200_000] * 5)
    assert talk.statuses == [400]
