"""One script, played on the short way and through all layers, and everything that anybody could see of it."""

from __future__ import annotations

import json
import socket
import time
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from trimtab.gateway import express
from trimtab.providers.resilience import RetryPolicy

if TYPE_CHECKING:
    from collections.abc import Callable

    from trimtab.events import Generation

BODY: dict[str, Any] = {
    "model": "support-reply",
    "user": "u-1",
    "messages": [{"role": "user", "content": 'Where is order A-1007? \u20ac "quoted"'}],
    "top_p": 0.5,
}
THROUGH_ALL_LAYERS = "x-trimtab-session: s-1"
"""A header that says nothing where there is a unit, but is read in the layers."""
WELL = b'{"model": "m", "choices": [{"message": {"content": "Hi."}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 9, "completion_tokens": 2}}'  # noqa: E501 - one line
ITS_OWN = {"x-trimtab-generation", "x-request-id", "retry-after"}
"""Headers that no two answers share: ids, and how long it is until midnight."""
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
KEY = "tt-key-of-a-team-0123456789"


def framed(body: bytes, *lines: bytes, status: int = 200) -> bytes:
    head = b"HTTP/1.1 %d X\r\ncontent-type: application/json\r\n" % status
    return head + b"".join(line + b"\r\n" for line in lines) + b"content-length: %d\r\n\r\n%s" % (len(body), body)


def without_span(head: bytes) -> bytes:
    """Return an upstream's request less this call's own span."""
    _, trace, parent, _ = TRACE.encode().split(b"-")
    before, line, rest = head.partition(b"\r\ntraceparent: 00-%b-" % trace)
    if not line:
        return head
    assert len(rest[:16].strip(b"0123456789abcdef")) == 0
    assert rest[:16] != parent
    return before + line + rest[16:]


class Line:
    """One kept-alive connection of a caller."""

    def __init__(self, here: Any, path: str = "/v1/chat/completions") -> None:
        self.path = path
        self._connection = socket.create_connection((here.host, here.port), timeout=10)
        self._read = self._connection.makefile("rb")
        self.ended = False
        """Whether the gateway broke off in the middle of an answer."""

    def ask(self, body: dict[str, Any], *lines: str) -> None:
        content = json.dumps(body).encode()
        head = [f"POST {self.path} HTTP/1.1", "host: localhost", "content-type: application/json", *lines]
        text = "\r\n".join([*head, f"content-length: {len(content)}", "", ""])
        self._connection.sendall(text.encode() + content)

    def answer(self) -> tuple[str, dict[str, str], bytes]:
        status = self._read.readline().decode().strip()
        headers = {}
        while line := self._read.readline().decode().strip():
            name, _, value = line.partition(": ")
            headers[name] = value
        if status.split()[1] == "100":
            return status, headers, b""
        if headers.get("transfer-encoding") == "chunked":
            return status, headers, self._chunks()
        return status, headers, self._read.read(int(headers["content-length"]))

    def _chunks(self) -> bytes:
        """Return the body of a stream, as far as it came: how it was cut into chunks is the network's business."""
        body = b""
        while size := int(self._read.readline() or b"-1", 16):
            if size < 0:
                self.ended = True
                return body
            body += self._read.read(size)
            self._read.readline()
        self._read.readline()
        return body

    def end_sending(self) -> None:
        self._connection.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self._read.close()
        self._connection.close()


def shown(answer: tuple[str, dict[str, str], bytes]) -> tuple[str, list[tuple[str, str]], bytes]:
    status, headers, body = answer
    named = [(name, "" if name in ITS_OWN else value) for name, value in headers.items()]
    return status, named, body


def facts(event: Generation) -> dict[str, Any]:
    told = msgspec.structs.asdict(event)
    for measured in ("id", "at_ms", "process", "latency_ms", "first_token_ms"):
        del told[measured]
    return told


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether a request was taken on the short way, for each that was offered."""
    found: list[bool] = []
    take = express._Lane.take

    def noted(*given: Any) -> bool:
        found.append(take(*given))
        return found[-1]

    monkeypatch.setattr(express._Lane, "take", noted)
    return found


@pytest.fixture
def play(stack: Callable[..., Any], release: Callable[..., Any], upstream: Any) -> Callable[..., dict[str, Any]]:
    """Make both ways known, play a script, ask once more, and tell everything that anybody could see of it."""

    def once(
        script: list[tuple[Any, ...]],
        extra: dict[str, Any],
        *lines: str,
        system: str = "Be brief.",
        **options: Any,
    ) -> dict[str, Any]:
        upstream.scripts.clear()
        upstream.requests.clear()
        upstream.heads.clear()
        usual = ("head", "rest") if extra.get("stream") else ("well",)
        for one in [usual, usual, usual, *script, usual]:
            upstream.then(*one)
        options = {"retry": RetryPolicy(base_seconds=0.01), "silence_timeout_seconds": 0.4, **options}
        here = stack(release(system=system), upstream=upstream.base_url, max_answer_bytes=65_536, **options)
        line, answers = Line(here), []
        for _ in range(5):
            line.ask({**BODY, **extra}, *lines)
            answers.append(shown(line.answer()))
            if line.ended or dict(answers[-1][1]).get("connection") == "close":
                break
        line.close()
        meters = {meter.team: meter._slots.mine() for meter in here.gateway.application.limits.meters}
        recorded = sum("x-trimtab-generation" in dict(headers) for _, headers, _ in answers)
        return {
            "answers": answers,
            "upstream": list(upstream.requests),
            "heads": [without_span(head) for head in upstream.heads],
            "events": [facts(event) for event in here.generations(recorded)],
            "health": [one._replace(breaker=one.breaker._replace(seconds_left=0.0)) for one in _health(here)],
            "meters": meters,
            "calls left": [len(client._calls) for client in here.gateway._upstreams._clients.values()],
        }

    def _health(here: Any) -> Any:
        return here.gateway.application.guards.health(time.monotonic())

    return once
