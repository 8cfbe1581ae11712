"""Chunks without the parser: the same body in any packets, and whatever is more than chunks is left to the parser."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from trimtab.providers.http.chunked_body import ChunkedBody

CHUNKS = st.lists(st.binary(min_size=1, max_size=300), max_size=8)
CUTS = st.lists(st.integers(0, 2000), max_size=12)
END = b"0\r\n\r\n"


def encoded(chunks: list[bytes], form: str = "%x") -> bytes:
    return b"".join((form % len(chunk)).encode() + b"\r\n" + chunk + b"\r\n" for chunk in chunks)


def packets(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, *(cut for cut in cuts if cut < len(data)), len(data)})
    return [data[start:end] for start, end in itertools.pairwise(places)]


@given(chunks=CHUNKS, cuts=CUTS, form=st.sampled_from(["%x", "%X", "%04x"]))
@example(chunks=[b"\r\n0\r\n\r\n", b"\r"], cuts=list(range(40)), form="%x")
def test_the_body_is_the_same_in_any_packets(chunks: list[bytes], cuts: list[int], form: str) -> None:
    body, read = ChunkedBody(), b""
    data = encoded(chunks, form) + END
    for packet in packets(data, cuts):
        assert not body.ended
        read += body.feed(packet)
    assert read == b"".join(chunks)
    assert (body.ended, body.malformed, body.unread) == (True, False, None)


@given(chunks=CHUNKS, cuts=CUTS)
def test_nothing_of_a_chunk_is_held_back(chunks: list[bytes], cuts: list[int]) -> None:
    body, data = ChunkedBody(), encoded(chunks)
    for packet in packets(data, cuts):
        body.feed(packet)
    assert body.feed(b"5\r\nhel") == b"hel"
    assert body.feed(b"l") == b"l"
    assert body.feed(b"o\r\n" + END) == b"o"
    assert body.ended


@pytest.mark.parametrize(
    "rest",
    [
        b"0\r\n\r\nHTTP/1.1 200 OK\r\n",
        b"0\r\nx-trailer: 1\r\n\r\n",
        b"0;last\r\n\r\n",
        b"00\r\n\r\n",
        b"5;a=b\r\nhello\r\n0\r\n\r\n",
        b"+5\r\nhello\r\n0\r\n\r\n",
        b"0x5\r\nhello\r\n0\r\n\r\n",
        b"5_0\r\n",
        b" 5\r\nhello\r\n",
        b"000000005\r\nhello\r\n",
        b"\r\n",
        b"g\r\n",
    ],
)
@pytest.mark.parametrize("packet", [1, 2, 3, 100])
def test_what_is_more_than_chunks_is_for_the_parser(rest: bytes, packet: int) -> None:
    body, read = ChunkedBody(), b""
    data = encoded([b"one", b"two"]) + rest
    for start in range(0, len(data), packet):
        if body.unread is None and not body.ended:
            read += body.feed(data[start : start + packet])
            seen = data[: start + packet]
    if body.ended:  # what came behind the end came in a packet of its own: the connection drops it
        assert seen.endswith(END)
    else:
        assert body.unread
        assert seen.endswith(body.unread)
        assert encoded([b"one", b"two"]) + body.unread == seen
    assert read == b"onetwo"


@pytest.mark.parametrize("data", [b"3\r\nonetwo\r\n", b"3\r\none\n\r\n", b"3\r\none\rx"])
def test_a_chunk_that_does_not_end_where_it_says_is_malformed(data: bytes) -> None:
    for packet in (1, 4, 100):
        body = ChunkedBody()
        for start in range(0, len(data), packet):
            if not body.malformed:
                body.feed(data[start : start + packet])
        assert body.malformed
