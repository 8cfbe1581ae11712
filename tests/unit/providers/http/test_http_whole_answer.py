"""Answers in one piece: what is beyond doubt is read, all else is left to the parser."""

from __future__ import annotations

import pytest

from trimtab.providers.http.whole_answer import WholeAnswers


def read(data: bytes) -> tuple[int, list[tuple[bytes, bytes]], bytes, bool] | None:
    return WholeAnswers(max_head_bytes=1000).read(data)


def test_a_whole_answer_is_read() -> None:
    answers = WholeAnswers(max_head_bytes=1000)
    for identifier in (b"1", b"1", b"2"):
        data = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain \r\nX-Id:%s\r\nContent-Length: 2\r\n\r\nok" % identifier
        assert answers.read(data) == (
            200,
            [(b"content-type", b"text/plain"), (b"x-id", identifier), (b"content-length", b"2")],
            b"ok",
            False,
        )


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\no",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok!",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-length: +2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-encoding: gzip\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nupgrade: h2c\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx: a\r\n b\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx y: a\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-length : 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx: a\0\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\nx: a\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\n\r\nok",
        b"HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 500 Oh\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 200\tOK\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx: " + b"a" * 1000 + b"\r\n\r\nok",
        b"",
        b"\r\n\r\n",
    ],
    ids=lambda data: data[9:60].decode("latin-1"),
)
def test_whatever_is_in_doubt_is_left_to_the_parser(data: bytes) -> None:
    assert read(data) is None


def test_memory_is_bounded() -> None:
    answers = WholeAnswers(max_head_bytes=1000)
    for number in range(3000):
        assert answers.read(b"HTTP/1.1 200 OK\r\nx-id: %d\r\ncontent-length: 0\r\n\r\n" % number) is not None
    assert len(answers._lines) <= 1024
