"""Known heads: the same bytes mean the same request, and nothing else does."""

from __future__ import annotations

import pytest

from trimtab.providers.http.known_heads import KnownHeads
from trimtab.providers.http.message import Request

HEAD = b"POST /v1/chat HTTP/1.1\r\nhost: a\r\n%s\r\nx-a: 1\r\n\r\n"


def learned(length: bytes = b"content-length: 2", body: bytes = b"{}", **request: object) -> KnownHeads:
    heads = KnownHeads(max_body_bytes=100)
    headers = {b"host": b"a", b"content-length": b"2", b"x-a": b"1"}
    heads.learn(HEAD % length + body, Request(b"POST", b"/v1/chat", headers, b"/v1/chat", body, **request))  # type: ignore[arg-type]
    return heads


def test_a_head_that_was_read_before_is_known_with_a_body_of_any_length() -> None:
    found = learned().read(HEAD % b"content-length: 5" + b"[1,2]")
    assert found is not None
    request = found[0].request(found[1])
    assert (request.method, request.path, request.body) == (b"POST", b"/v1/chat", b"[1,2]")
    assert request.keep_alive
    assert request.refusal is None


@pytest.mark.parametrize("name", [b"content-length", b"Content-Length", b"Content-length"])
def test_clients_differ_in_how_they_spell_it(name: bytes) -> None:
    found = learned(b"%s: 2" % name).read(HEAD % (b"%s: 5" % name) + b"[1,2]")
    assert found is not None
    assert found[1] == b"[1,2]"


@pytest.mark.parametrize(
    "data",
    [
        HEAD % b"content-length: 5" + b"[1,2",
        HEAD % b"content-length: 5" + b"[1,2]G",
        HEAD % b"content-length: +5" + b"[1,2]",
        HEAD % b"content-length: 5 " + b"[1,2]",
        HEAD % "content-length: \uff15".encode() + b"[1,2]",
        HEAD % b"content-length: " + b"",
        HEAD % b"content-length: 5\r\nx-b: 2" + b"[1,2]",
        HEAD % b"content-length: 5\r\ncontent-length: 5" + b"[1,2]",
        HEAD % b"Content-length: 5" + b"[1,2]",
        HEAD % b"content-length: 101" + b"x" * 101,
        HEAD[:-2] % b"content-length: 5",
        b"",
        b"\r\n\r\n",
    ],
    ids=lambda data: data[40:60].decode("latin-1"),
)
def test_whatever_differs_is_left_to_the_parser(data: bytes) -> None:
    assert learned().read(data) is None


def test_a_length_is_only_what_stands_on_a_line_of_its_own() -> None:
    """Else a caller could say how long its body is in a header that nobody else reads so, and smuggle the rest."""
    heads = KnownHeads(max_body_bytes=100)
    data = b"POST / HTTP/1.1\r\nhost: a\r\nx-content-length: 2\r\ncontent-length: 2\r\n\r\n{}"
    headers = {b"host": b"a", b"x-content-length": b"2", b"content-length": b"2"}
    heads.learn(data, Request(b"POST", b"/", headers, b"/", b"{}"))
    assert heads.read(data) is None
    assert heads.read(data.replace(b"x-content-length: 2", b"x-content-length: 5")[:-2] + b"[1,2]") is None


@pytest.mark.parametrize(
    "request_",
    [{"keep_alive": False}, {"http_1_0": True}, {"expects_continue": True}],
    ids=str,
)
def test_what_needs_care_is_never_learned(request_: dict[str, bool]) -> None:
    heads = learned(**request_)  # type: ignore[arg-type]
    assert heads.read(HEAD % b"content-length: 2" + b"{}") is None


def test_a_head_that_has_not_ended_is_not_known() -> None:
    """Where Content-Length comes last, all that is missing of the head is its end; its bytes are no body."""
    heads = KnownHeads(max_body_bytes=100)
    data = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n"
    headers = {b"host": b"a", b"content-length": b"2"}
    heads.learn(data % 2 + b"{}", Request(b"POST", b"/", headers, b"/", b"{}"))
    assert heads.read(data % 2 + b"[]") is not None
    begun = (data % 10)[:-3]
    assert heads.read(begun.replace(b"10", b"%d" % (len(begun) - 3))) is None


TRACED = b"POST / HTTP/1.1\r\nhost: a\r\n%b\r\ncontent-length: %d\r\n\r\n%b"
TRACE = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
ANOTHER = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"


def traced(line: bytes = b"traceparent: " + TRACE, value: bytes = TRACE) -> KnownHeads:
    heads = KnownHeads(max_body_bytes=100)
    headers = {b"host": b"a", b"traceparent": value, b"content-length": b"2"}
    heads.learn(TRACED % (line, 2, b"{}"), Request(b"POST", b"/", headers, b"/", b"{}"))
    return heads


@pytest.mark.parametrize("name", [b"traceparent", b"Traceparent"])
def test_each_request_of_a_known_head_may_have_a_trace_of_its_own(name: bytes) -> None:
    heads = traced(name + b": " + TRACE)
    for trace in (TRACE, ANOTHER):
        found = heads.read(TRACED % (name + b": " + trace, 5, b"[1,2]"))
        assert found is not None
        head, body, told = found
        assert (body, told) == (b"[1,2]", {b"traceparent": trace})
        assert head.request(body, told).headers[b"traceparent"] == trace
    assert heads.read(TRACED % (b"x: y", 2, b"{}")) is None


@pytest.mark.parametrize(
    "line",
    [
        b"traceparent: " + ANOTHER[:-1],
        b"traceparent: " + ANOTHER + b" ",
        b"traceparent: " + ANOTHER.upper(),
        b"traceparent: 01" + ANOTHER[2:],
        b"traceparent: 00-" + b"0" * 32 + ANOTHER[35:],
        b"traceparent: " + ANOTHER + b"\r\ntraceparent: " + ANOTHER,
        b"traceparent:" + ANOTHER,
        b"TRACEPARENT: " + ANOTHER,
        b"x-traceparent: " + ANOTHER,
        b"traceparent: ",
    ],
    ids=lambda line: line.decode()[:20] + line.decode()[-8:],
)
def test_only_a_plain_trace_may_differ(line: bytes) -> None:
    data = TRACED % (line, 2, b"{}")
    assert traced().read(data) is None
    value = line.partition(b": ")[2]
    if b"\r" in value:
        value = value.replace(b"\r\ntraceparent: ", b", ")
    heads = traced(line, value)
    assert heads.read(data) is None


@pytest.mark.parametrize("name", [b"x-trimtab-unit", b"X-Trimtab-Unit", b"X-trimtab-unit"])
@pytest.mark.parametrize("traces", [b"", b"\r\ntraceparent: " + TRACE])
def test_each_request_of_a_known_head_may_have_a_unit_of_its_own(name: bytes, traces: bytes) -> None:
    heads = KnownHeads(max_body_bytes=100)
    headers = {b"host": b"a", b"x-trimtab-unit": b"u-1", b"content-length": b"2"}
    if traces:
        headers[b"traceparent"] = TRACE
    heads.learn(TRACED % (name + b": u-1" + traces, 2, b"{}"), Request(b"POST", b"/", headers, b"/", b"{}"))
    for unit in (b"u-1", b"ada@example.com", b"x" * 512):
        found = heads.read(TRACED % (name + b": " + unit + traces.replace(TRACE, ANOTHER), 2, b"[]"))
        assert found is not None
        assert found[2][b"x-trimtab-unit"] == unit
        request = found[0].request(found[1], found[2])
        assert request.headers == {**headers, b"x-trimtab-unit": unit, **({b"traceparent": ANOTHER} if traces else {})}
    for line in (b"u 1", b" u-1", b"", b"x" * 513, "\u00e4".encode(), b"u-1\r\n" + name + b": u-2", b"u-1\r\nx: y"):
        assert heads.read(TRACED % (name + b": " + line + traces, 2, b"[]")) is None


def test_memory_is_bounded() -> None:
    heads = KnownHeads(max_body_bytes=100)
    for number in range(3000):
        target = b"/%d" % number
        data = b"POST %s HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\n{}" % target
        heads.learn(data, Request(b"POST", target, {b"host": b"a", b"content-length": b"2"}, target, b"{}"))
        assert heads.read(data) is not None
    assert len(heads._heads) <= 1024
