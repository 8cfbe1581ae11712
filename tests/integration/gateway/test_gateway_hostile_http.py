"""The gateway as somebody hostile meets it, on either side: nothing smuggled in, nothing split out."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from typing import TYPE_CHECKING, Any

import pytest

from trimtab.sim.config import Latency, Rule, SimConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BODY = json.dumps(
    {
        "model": "support-reply",
        "messages": [{"role": "user", "content": "Where is order A-1007?"}],
        "trimtab": {"variables": {"shop": "Acme"}},
    }
).encode()
HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"


def post(*lines: bytes, body: bytes = BODY) -> bytes:
    return HEAD + b"".join(line + b"\r\n" for line in lines) + b"content-length: %d\r\n\r\n" % len(body) + body


def speak(here: Any, *pieces: bytes, half_close: bool = True) -> bytes:
    """Send, shut down the sending side, and read to the end; leave for a body is read past."""
    with socket.create_connection((here.host, here.port), timeout=10) as connection:
        for piece in pieces:
            connection.sendall(piece)
        if half_close:
            connection.shutdown(socket.SHUT_WR)
        received = b""
        while data := connection.recv(65536):
            received += data
    return received.replace(b"HTTP/1.1 100 Continue\r\n\r\n", b"")


@contextlib.contextmanager
def upstream(answer: bytes) -> Iterator[str]:
    """An upstream that answers every request with these bytes, then closes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with connection:
                        connection.recv(65536)
                        connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        listener.shutdown(socket.SHUT_RDWR)
    thread.join()


def test_a_request_hidden_in_another_is_never_sent_to_a_model(stack: Callable[..., Any]) -> None:
    here = stack()
    hidden = post()
    for framing in (
        b"content-length: %d\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n" % (len(hidden) + 5),
        b"transfer-encoding: chunked\r\ncontent-length: 0\r\n\r\n",
        b"transfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
        b"content-length: 0\r\ncontent-length: %d\r\n\r\n" % len(hidden),
        b"content-length: 0\n\n",
        b"x: y\r\n\r\n\r\n",  # this one is whole: an empty request, then another
    ):
        answer = speak(here, HEAD + framing + hidden)
        executed = 1 if framing.startswith(b"x: y") else 0
        assert answer.count(b"x-trimtab-generation") == executed
        assert b"HTTP/1.1 " in answer
    assert len(here.generations(1)) == 1


def test_a_trailer_changes_nothing_about_a_request_that_was_already_judged(stack: Callable[..., Any]) -> None:
    here = stack()
    chunks = b"%x\r\n%s\r\n0\r\nx-trimtab-unit: somebody-else\r\n\r\n" % (len(BODY), BODY)
    answer = speak(here, HEAD + b"x-trimtab-unit: me\r\ntransfer-encoding: chunked\r\n\r\n" + chunks)
    assert answer.startswith(b"HTTP/1.1 200")
    [event] = here.generations(1)
    assert event.unit == "me"


@pytest.mark.parametrize(
    "target",
    [
        b"/nowhere%0d%0aset-cookie:%20a=b",
        b"/nowhere?x=%0d%0a%0d%0aHTTP/1.1%20200%20OK",
        b"http://evil.test/nowhere%0d%0a",
        b"/v1/models/%0d%0aset-cookie:%20a=b",
    ],
)
def test_nothing_of_a_target_becomes_a_header_of_the_answer(stack: Callable[..., Any], target: bytes) -> None:
    answer = speak(stack(), b"GET " + target + b" HTTP/1.1\r\nhost: localhost\r\n\r\n")
    assert answer.count(b"HTTP/1.1 ") == 1 + answer.partition(b"\r\n\r\n")[2].count(b"HTTP/1.1 ")
    assert b"set-cookie" not in answer.partition(b"\r\n\r\n")[0].lower()


@pytest.mark.parametrize(
    "line", [b"openai-version: a\rset-cookie: b=c", b"openai-version: a\nset-cookie: b=c", b"x-request-id: a\x00b"]
)
def test_an_upstream_that_splits_its_headers_is_refused_as_malformed(stack: Callable[..., Any], line: bytes) -> None:
    with upstream(b"HTTP/1.1 200 OK\r\n" + line + b"\r\ncontent-length: 2\r\n\r\n{}") as url:
        answer = speak(stack(upstream=url), post())
    assert answer.startswith(b"HTTP/1.1 502")
    assert b"set-cookie" not in answer


def test_a_second_answer_of_an_upstream_is_nobodys(stack: Callable[..., Any]) -> None:
    poison = b'HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n"poisoned"'
    error = b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"
    with upstream(error + poison) as url:
        here = stack(upstream=url)
        for _ in range(3):
            answer = speak(here, post())
            assert answer.startswith(b"HTTP/1.1 400")
            assert b"poisoned" not in answer


def test_a_caller_that_shut_down_its_sending_side_gets_a_slow_answer(stack: Callable[..., Any]) -> None:
    here = stack(sim=SimConfig(rules=[Rule(latency=Latency(median_ms=800))]))
    answer = speak(here, post())
    assert answer.startswith(b"HTTP/1.1 200")
    assert here.generations(1)[0].status == "ok"


def test_many_that_never_finish_their_request_keep_nobody_from_being_served(stack: Callable[..., Any]) -> None:
    here = stack()
    with contextlib.ExitStack() as slow:
        for number in range(100):
            one = slow.enter_context(socket.create_connection((here.host, here.port), timeout=10))
            one.sendall(HEAD + b"x-%d: " % number)
        assert speak(here, post()).startswith(b"HTTP/1.1 200")
