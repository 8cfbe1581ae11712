"""Where one request ends and the next begins: nothing that two servers could read differently is taken.

In every test a second request follows on the connection. If the framing was refused, it must not be executed: it may
be a part of what the first sender meant as a body (request smuggling, RFC 9112 §11.2).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.integration.http.conftest import Conversation

HEAD = b"POST /first HTTP/1.1\r\nhost: here\r\n"
NEXT = b"GET /smuggled HTTP/1.1\r\nhost: here\r\n\r\n"
CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "framing",
    [
        # Both lengths, in both orders: RFC 9112 §6.1 allows to refuse, and safety asks for it.
        b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n",
        b"content-length: 0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"transfer-encoding: identity\r\ncontent-length: 5\r\n\r\nhello",
        # Transfer codings that are not exactly one `chunked`, the last one (§6.1, §6.3).
        b"transfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
        b"transfer-encoding: chunkedx\r\n\r\n0\r\n\r\n",
        b"transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        b"transfer-encoding: identity, chunked\r\n\r\n0\r\n\r\n",
        b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"transfer-encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
        b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n\r\n0\r\n\r\n",
        b"transfer-encoding: identity\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"transfer-encoding: ,chunked\r\n\r\n0\r\n\r\n",
        b"transfer-encoding: chunked,\r\n\r\n0\r\n\r\n",
        b"transfer-encoding: chunked;q=1\r\n\r\n0\r\n\r\n",
        b'transfer-encoding: "chunked"\r\n\r\n0\r\n\r\n',
        b"transfer-encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
        b"transfer-encoding: \r\n\r\n0\r\n\r\n",
        b"transfer-encoding: identity\r\n\r\n0\r\n\r\n",
        b"transfer-encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
        b"transfer-encoding : chunked\r\n\r\n0\r\n\r\n",
        b"transfer-encoding\t: chunked\r\n\r\n0\r\n\r\n",
        b" transfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"x: y\rtransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"x: y\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        # Lengths that are not one plain number (§6.2).
        b"content-length: 5\r\ncontent-length: 5\r\n\r\nhello",
        b"content-length: 5\r\ncontent-length: 6\r\n\r\nhello",
        b"content-length: 5, 5\r\n\r\nhello",
        b"content-length: 5, 6\r\n\r\nhello",
        b"content-length: +5\r\n\r\nhello",
        b"content-length: -5\r\n\r\nhello",
        b"content-length: 0x5\r\n\r\nhello",
        b"content-length: 5 5\r\n\r\nhello",
        b"content-length: 5_0\r\n\r\nhello",
        b"content-length: 5.0\r\n\r\nhello",
        b"content-length: \xd9\xa5\r\n\r\nhello",  # an Arabic five is a digit to a careless int()
        b"content-length: \r\n\r\nhello",
        b"content-length : 5\r\n\r\nhello",
        b"content-length: 99999999999999999999999999\r\n\r\nhello",
        b"content-length: five\r\n\r\nhello",
    ],
)
def test_ambiguous_framing_is_refused_and_ends_the_connection(
    converse: Callable[..., Conversation], framing: bytes
) -> None:
    talk = converse(HEAD + framing + NEXT)
    assert talk.seen == []
    assert len(talk.statuses) == 1
    assert talk.statuses[0] in {400, 501}
    assert talk.answers[0].headers[b"connection"] == b"close"


@pytest.mark.parametrize(
    "framing", [b"transfer-encoding: xchunked\r\n\r\n", b"transfer-encoding: gzip, chunked\r\n\r\n"]
)
def test_a_transfer_coding_nobody_knows_is_501(converse: Callable[..., Conversation], framing: bytes) -> None:
    assert converse(HEAD + framing + b"0\r\n\r\n").statuses == [501]


def test_ambiguous_framing_is_answered_once_even_where_the_request_would_be_refused_anyway(
    converse: Callable[..., Conversation],
) -> None:
    refused = b"POST /refused HTTP/1.1\r\nhost: here\r\ntransfer-encoding: identity\r\n\r\n"
    talk = converse(refused + NEXT)
    assert (len(talk.statuses), talk.seen) == (1, [])


@pytest.mark.parametrize("length", [b"18446744073709551615", b"9223372036854775808", b"10000000000"])
def test_a_huge_length_is_refused_before_a_byte_of_the_body(
    converse: Callable[..., Conversation], length: bytes
) -> None:
    talk = converse(HEAD + b"content-length: " + length + b"\r\n\r\n")
    assert (talk.statuses, talk.seen) == ([413], [])


@pytest.mark.parametrize("spelling", [b"content-length: 005", b"content-length:5", b"Content-Length: \t5 \t"])
def test_one_length_may_be_spelled_in_several_ways(converse: Callable[..., Conversation], spelling: bytes) -> None:
    talk = converse(HEAD + spelling + b"\r\n\r\nhello" + NEXT)
    assert talk.seen == [(b"POST", b"/first", b"hello"), (b"GET", b"/smuggled", b"")]


@pytest.mark.parametrize("spelling", [b"chunked", b"Chunked", b"\tchunked "])
def test_chunked_may_be_spelled_in_several_ways(converse: Callable[..., Conversation], spelling: bytes) -> None:
    talk = converse(HEAD + b"transfer-encoding: " + spelling + b"\r\n\r\n5\r\nhello\r\n0\r\n\r\n" + NEXT)
    assert talk.seen == [(b"POST", b"/first", b"hello"), (b"GET", b"/smuggled", b"")]


def test_a_header_that_only_looks_like_transfer_encoding_is_just_a_header(
    converse: Callable[..., Conversation],
) -> None:
    talk = converse(HEAD + b"transfer_encoding: chunked\r\ncontent-length: 5\r\n\r\nhello" + NEXT)
    assert talk.seen == [(b"POST", b"/first", b"hello"), (b"GET", b"/smuggled", b"")]


def test_http_1_0_does_not_know_transfer_codings(converse: Callable[..., Conversation]) -> None:
    head = b"POST /first HTTP/1.0\r\nconnection: keep-alive\r\ntransfer-encoding: chunked\r\n\r\n"
    talk = converse(head + b"5\r\nhello\r\n0\r\n\r\n" + NEXT)
    assert (talk.statuses, talk.seen) == ([400], [])  # RFC 9112 §6.1: the framing is faulty


@pytest.mark.parametrize(
    ("chunks", "body"),
    [
        (b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
        (b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", b"hello"),
        (b"5;name=value\r\nhello\r\n0;last\r\n\r\n", b"hello"),
        (b'5;name="a; b"\r\nhello\r\n0\r\n\r\n', b"hello"),
        (b"0005\r\nhello\r\n0000\r\n\r\n", b"hello"),
        (b"A\r\n0123456789\r\n0\r\n\r\n", b"0123456789"),
        (b"a\r\n0123456789\r\n0\r\n\r\n", b"0123456789"),
        (b"4\r\n0\r\n\r\r\n0\r\n\r\n", b"0\r\n\r"),
        (b"0\r\n\r\n", b""),
    ],
)
def test_chunks_are_put_together(converse: Callable[..., Conversation], chunks: bytes, body: bytes) -> None:
    talk = converse(CHUNKED + chunks + NEXT)
    assert talk.seen == [(b"POST", b"/first", body), (b"GET", b"/smuggled", b"")]


def test_a_request_may_come_in_any_packets(converse: Callable[..., Conversation]) -> None:
    raw = CHUNKED + b"2;x=y\r\nhe\r\n3\r\nllo\r\n0\r\nt: u\r\n\r\n" + NEXT
    talk = converse(*[bytes([byte]) for byte in raw])
    assert talk.seen == [(b"POST", b"/first", b"hello"), (b"GET", b"/smuggled", b"")]


@pytest.mark.parametrize(
    "chunks",
    [
        b"-5\r\nhello\r\n0\r\n\r\n",
        b"+5\r\nhello\r\n0\r\n\r\n",
        b"0x5\r\nhello\r\n0\r\n\r\n",
        b" 5\r\nhello\r\n0\r\n\r\n",
        b"5 \r\nhello\r\n0\r\n\r\n",
        b"5\t;x\r\nhello\r\n0\r\n\r\n",
        b"\r\nhello\r\n0\r\n\r\n",
        b";x\r\nhello\r\n0\r\n\r\n",
        b"g\r\nhello\r\n0\r\n\r\n",
        b"5\nhello\r\n0\r\n\r\n",
        b"5\rhello\r\n0\r\n\r\n",
        b"5\r\nhello\n0\r\n\r\n",
        b"5\r\nhello0\r\n\r\n",
        b"5\r\nhello!\r\n0\r\n\r\n",
        b"5\r\nhel\r\n0\r\n\r\n",
        b"5\r\nhello\rX0\r\n\r\n",
        b"5;x\nhello\r\n0\r\n\r\n",
        b"5;x\rhello\r\n0\r\n\r\n",
        b"5;x\x00\r\nhello\r\n0\r\n\r\n",
        b'5;x="a\r\nb"\r\nhello\r\n0\r\n\r\n',
        b"5\r\nhello\r\n0\n\n",
        b"5\r\nhello\r\n0\r\n\n",
        b"5\r\nhello\r\n0\r\nx: y\n\n",
        b"5\r\nhello\r\n0\r\nbad trailer\r\n\r\n",
        b"5\r\nhello\r\n0\r\n folded\r\n\r\n",
        b"FFFFFFFFFFFFFFFFF\r\nhello\r\n0\r\n\r\n",
        b"10000000000000005\r\nhello\r\n0\r\n\r\n",  # five, to whoever keeps 64 bits
    ],
)
def test_broken_chunks_are_refused_and_end_the_connection(converse: Callable[..., Conversation], chunks: bytes) -> None:
    talk = converse(CHUNKED + chunks + NEXT)
    assert (talk.statuses, talk.seen) == ([400], [])


@pytest.mark.parametrize("size", [b"FFFFFFFFFFFFFFFF", b"7FFFFFFFFFFFFFFF", b"FFFFFFFF"])
def test_a_chunk_that_claims_too_much_is_refused_by_what_it_brings(
    converse: Callable[..., Conversation], size: bytes
) -> None:
    talk = converse(CHUNKED + size + b"\r\n" + b"x" * 2000, max_body_bytes=1000)
    assert (talk.statuses, talk.seen) == ([413], [])


@pytest.mark.parametrize(
    "trailer",
    [
        b"authorization: Bearer stolen\r\n",
        b"host: elsewhere\r\n",
        b"x-team: other\r\n",
        b"connection: close\r\n",
        b"expect: 100-continue\r\n",
    ],
)
def test_trailers_are_read_past_and_change_nothing(converse: Callable[..., Conversation], trailer: bytes) -> None:
    talk = converse(CHUNKED + b"5\r\nhello\r\n0\r\n" + trailer + b"\r\n" + NEXT)
    first = talk.application.handled[0]
    assert first.headers == {b"host": b"here", b"transfer-encoding": b"chunked"}
    assert talk.seen[0] == (b"POST", b"/first", b"hello")
    if not trailer.startswith(b"connection"):
        assert talk.seen[1:] == [(b"GET", b"/smuggled", b"")]
        assert talk.application.handled[1].headers == {b"host": b"here"}


@pytest.mark.parametrize("trailer", [b"content-length: 9", b"transfer-encoding: identity"])
def test_a_trailer_that_claims_another_framing_is_refused(
    converse: Callable[..., Conversation], trailer: bytes
) -> None:
    talk = converse(CHUNKED + b"5\r\nhello\r\n0\r\n" + trailer + b"\r\n\r\n" + NEXT)
    assert (talk.statuses, talk.seen) == ([400], [])


def test_a_body_that_ends_early_is_never_executed(converse: Callable[..., Conversation]) -> None:
    assert converse(HEAD + b"content-length: 9\r\n\r\nhello").seen == []
    assert converse(CHUNKED + b"5\r\nhello\r\n").seen == []
    assert converse(CHUNKED + b"5\r\nhello\r\n0\r\n").seen == []


def test_bytes_after_a_request_that_said_close_are_not_a_request(converse: Callable[..., Conversation]) -> None:
    for head in (b"GET /first HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n", b"GET /first HTTP/1.0\r\n\r\n"):
        talk = converse(head + NEXT)
        assert (talk.statuses, talk.seen) == ([200], [(b"GET", b"/first", b"")])


def test_a_get_may_have_a_body_and_it_is_not_the_next_request(converse: Callable[..., Conversation]) -> None:
    talk = converse(b"GET /first HTTP/1.1\r\nhost: here\r\ncontent-length: %d\r\n\r\n" % len(NEXT) + NEXT + NEXT)
    assert talk.seen == [(b"GET", b"/first", NEXT), (b"GET", b"/smuggled", b"")]
