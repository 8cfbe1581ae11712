"""The measuring kit measures what it says: every request counted once, nothing cut short taken for an answer."""

from __future__ import annotations

import http.client
import json
import shutil
import socket
import ssl
import threading
from typing import TYPE_CHECKING, Any

import pytest
from benchmarks.harness.bench import make_certificate
from benchmarks.harness.kit import Kit, build_kit
from benchmarks.harness.workloads import CHAT, CHAT_LONG, PACED, STREAM, STREAM_LONG, Workload
from benchmarks.servers.model import Server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(not shutil.which("cc"), reason="the kit is written in C")


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Kit:
    return build_kit(tmp_path_factory.mktemp("kit"))


@pytest.fixture
def upstream(kit: Kit) -> Iterator[int]:
    with kit.upstream() as port:
        yield port


@pytest.fixture
def body(tmp_path: Path) -> Path:
    return CHAT.write_body(tmp_path, "m")


def server(port: int) -> Server:
    return Server(name="direct", version="", configuration="", port=port, headers=("X-Test: yes",))


def ask(port: int, workload: Workload) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request("POST", "/v1/chat/completions", workload.body("m"))
    response = connection.getresponse()
    assert response.status == 200
    answer = response.read()
    connection.close()
    return answer


class Scripted:
    """Answers every request with the same bytes, in pieces of a given size; keeps what it was sent."""

    def __init__(self, answer: bytes, *, piece: int = 65536, then_close: bool = False) -> None:
        self.requests: list[bytes] = []
        self._answer, self._piece, self._then_close = answer, piece, then_close
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with connection:
            while request := connection.recv(65536):  # the kit sends a request with one write
                self.requests.append(request)
                try:
                    for start in range(0, len(self._answer), self._piece):
                        connection.sendall(self._answer[start : start + self._piece])
                except OSError:
                    return
                if self._then_close:
                    return

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def scripted() -> Iterator[Callable[..., Scripted]]:
    opened: list[Scripted] = []

    def start(answer: bytes, **options: Any) -> Scripted:
        opened.append(Scripted(answer, **options))
        return opened[-1]

    yield start
    for one in opened:
        one.close()


def test_every_request_asked_for_is_sent_and_answered_once(kit: Kit, upstream: int, body: Path) -> None:
    load = kit.drive(server(upstream), body, connections=4, requests=501)
    assert (load.requests, load.errors, load.refused, load.problem) == (501, 0, 0, "")
    assert 0 < load.p50_us <= load.p90_us <= load.p99_us <= load.max_us


def test_fewer_requests_than_connections_are_not_rounded_up(kit: Kit, upstream: int, body: Path) -> None:
    assert kit.drive(server(upstream), body, connections=8, requests=3).requests == 3


def test_a_timed_run_counts_what_was_in_flight_when_the_time_was_up(
    kit: Kit, body: Path, scripted: Callable[..., Scripted]
) -> None:
    one = scripted(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
    load = kit.drive(server(one.port), body, connections=3, seconds=0.2)
    assert load.requests == len(one.requests)


def test_users_differ_from_request_to_request_and_headers_are_sent(
    kit: Kit, body: Path, scripted: Callable[..., Scripted]
) -> None:
    one = scripted(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
    kit.drive(server(one.port), body, connections=1, requests=3)
    heads, bodies = zip(*(request.split(b"\r\n\r\n", 1) for request in one.requests), strict=True)
    assert [json.loads(sent)["user"] for sent in bodies] == ["user-00000000", "user-00000001", "user-00000002"]
    assert all(b"\r\nX-Test: yes\r\n" in head for head in heads)


@pytest.mark.parametrize("piece", [1, 3, 65536])
def test_a_chunked_answer_ends_where_its_last_chunk_does_however_it_is_cut(
    kit: Kit, body: Path, scripted: Callable[..., Scripted], piece: int
) -> None:
    answer = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"5;x=1\r\n0\r\n\r\n\r\n"  # a chunk whose content looks like the end
        b"1\r\na\r\n0\r\nx-trailer: 1\r\n\r\n"
    )
    one = scripted(answer, piece=piece)
    load = kit.drive(server(one.port), body, connections=2, requests=6)
    assert (load.requests, load.problem, load.bytes_per_answer) == (6, "", len(answer))


def test_a_refused_request_is_counted_and_quoted(kit: Kit, body: Path, scripted: Callable[..., Scripted]) -> None:
    one = scripted(b"HTTP/1.1 500 Oh\r\ncontent-length: 7\r\n\r\nno way!")
    load = kit.drive(server(one.port), body, connections=1, requests=2)
    assert load.refused == 2
    assert "no way!" in load.problem


def test_a_connection_that_ends_within_an_answer_is_an_error(
    kit: Kit, body: Path, scripted: Callable[..., Scripted]
) -> None:
    one = scripted(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf", then_close=True)
    load = kit.drive(server(one.port), body, connections=1, requests=3)
    assert (load.requests, load.errors) == (0, 3)
    assert load.problem


def test_an_answer_without_a_length_ends_with_its_connection(
    kit: Kit, body: Path, scripted: Callable[..., Scripted]
) -> None:
    one = scripted(b"HTTP/1.1 200 OK\r\n\r\nall of it", then_close=True)
    assert kit.drive(server(one.port), body, connections=1, requests=3).requests == 3


@pytest.mark.parametrize("workload", [STREAM, STREAM_LONG, PACED])
def test_the_upstream_streams_as_many_chunks_as_it_is_asked_for_then_usage_then_the_end(
    upstream: int, workload: Workload
) -> None:
    events = [line[6:] for line in ask(upstream, workload).split(b"\n\n") if line]
    assert events[-1] == b"[DONE]"
    chunks = [json.loads(event) for event in events[:-1]]
    content = [chunk["choices"][0]["delta"].get("content") for chunk in chunks[1:-1]]
    assert len([text for text in content if text]) == workload.chunks
    assert chunks[-2]["choices"][0]["finish_reason"] == "stop"
    assert chunks[-1]["usage"]["total_tokens"] == 85


def test_the_upstream_answers_with_as_much_text_as_it_is_asked_for(upstream: int) -> None:
    short, long = (json.loads(ask(upstream, workload)) for workload in (CHAT, CHAT_LONG))
    assert "shipped" in short["choices"][0]["message"]["content"]
    assert len(long["choices"][0]["message"]["content"]) == 600


def test_a_reader_that_leaves_in_the_middle_of_a_paced_stream_harms_nobody(upstream: int) -> None:
    with socket.create_connection(("127.0.0.1", upstream)) as leaver:
        sent = PACED.body("m")
        leaver.sendall(b"POST / HTTP/1.1\r\ncontent-length: %d\r\n\r\n%b" % (len(sent), sent))
        assert leaver.recv(100)
    assert ask(upstream, PACED).count(b"shipped") == PACED.chunks


def test_the_upstream_speaks_tls_with_a_certificate_that_verifies(kit: Kit, tmp_path: Path) -> None:
    pair = make_certificate(tmp_path) if kit.tls else None
    if pair is None:
        pytest.skip("compiled without OpenSSL, or no `openssl`")
    with kit.upstream(*pair) as port:
        context = ssl.create_default_context(cafile=str(pair[0]))
        connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=5, context=context)
        for _ in range(2):  # kept alive
            connection.request("POST", "/v1/chat/completions", STREAM.body("m"))
            assert connection.getresponse().read().count(b"shipped") == STREAM.chunks
        connection.close()
