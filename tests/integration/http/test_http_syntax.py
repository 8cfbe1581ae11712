"""Request lines and headers: what RFC 9112 calls malformed is refused, and what it calls a request is served."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.integration.http.conftest import Conversation

HOST = b"host: here\r\n"
LINE = b"GET /first HTTP/1.1\r\n"
NEXT = b"GET /smuggled HTTP/1.1\r\nhost: here\r\n\r\n"


@pytest.mark.parametrize(
    "line",
    [
        b"x: folded\r\n here",
        b"x: folded\r\n\there",
        b" x: leading",
        b"\tx: leading",
        b"x : space before the colon",
        b"x\t: tab before the colon",
        b"x y: space in the name",
        b": no name",
        b"no colon",
        b"x\x00: NUL in the name",
        b"x\x7f: DEL in the name",
        b"x\xc3\xa9: beyond ASCII in the name",
        b"x(y): a delimiter in the name",
        b'"x": quotes in the name',
        b"x: NUL \x00 in the value",
        b"x: control \x01 in the value",
        b"x: DEL \x7f in the value",
        b"x: escape \x1b[31m in the value",
        b"x: bare CR\rin the value",
        b"x: bare LF\nin-the-value: y",
        b"x: bare LF\n\nGET /smuggled HTTP/1.1\r\nhost: here",
        b"x: two CR\r\r\nx-y: z",
    ],
)
def test_a_malformed_header_is_refused_and_ends_the_connection(
    converse: Callable[..., Conversation], line: bytes
) -> None:
    for head in (LINE + HOST + line, LINE + line + b"\r\n" + HOST[:-2]):
        talk = converse(head + b"\r\n\r\n" + NEXT)
        assert (talk.statuses, talk.seen) == ([400], [])
        assert talk.answers[0].headers[b"connection"] == b"close"


@pytest.mark.parametrize(
    ("line", "name", "value"),
    [
        (b"x:", b"x", b""),
        (b"x:   \t ", b"x", b""),
        (b"x:y", b"x", b"y"),
        (b"x: \t y z \t ", b"x", b"y z"),
        (b"X-Upper: y", b"x-upper", b"y"),
        (b"x: caf\xc3\xa9", b"x", b"caf\xc3\xa9"),
        (b"x: \xff", b"x", b"\xff"),
        (b"!#$%&'*+-.^_`|~: y", b"!#$%&'*+-.^_`|~", b"y"),
        (b"x: a:b: c", b"x", b"a:b: c"),
        (b"x: 1\r\nX: 2", b"x", b"1, 2"),
    ],
)
def test_a_header_value_comes_without_the_white_space_around_it(
    converse: Callable[..., Conversation], line: bytes, name: bytes, value: bytes
) -> None:
    talk = converse(LINE + HOST + line + b"\r\n\r\n")
    assert talk.application.handled[0].headers[name] == value  # RFC 9110 §5.5


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"get / HTTP/1.1", 400),  # methods are case-sensitive, RFC 9110 §9.1
        (b"Get / HTTP/1.1", 400),
        (b"GRAB / HTTP/1.1", 400),
        (b"G\x00ET / HTTP/1.1", 400),
        (b" GET / HTTP/1.1", 400),
        (b"GET\t/ HTTP/1.1", 400),
        (b"GET /\tHTTP/1.1", 400),
        (b"GET / HTTP/1.1 ", 400),
        (b"GET / http/1.1", 400),
        (b"GET /a b HTTP/1.1", 400),
        (b"GET /\x00 HTTP/1.1", 400),
        (b"GET /\x7f HTTP/1.1", 400),
        (b"GET /\xff HTTP/1.1", 400),
        (b"GET / HTTP/1.1\nx: y", 400),
        (b"GET / HTTP/1.1\rx: y", 400),
        (b"GET \\first HTTP/1.1", 400),
        (b"GET first HTTP/1.1", 400),
        (b"GET * HTTP/1.1", 400),
        (b"GET ftp://here/first HTTP/1.1", 400),
        (b"GET http:///first HTTP/1.1", 400),
        (b"GET HTTP/1.1", 400),
        (b"GET", 400),
        (b"GET / HTTP/01.1", 400),
        (b"GET / HTTP/1.10", 400),
        (b"GET / HTTP/1", 400),
        (b"GET / HTTP/1.2", 400),
        (b"GET /", 505),  # HTTP/0.9
        (b"GET / HTTP/0.9", 505),
        (b"GET / HTTP/2.0", 505),
    ],
)
def test_a_malformed_request_line_is_refused_and_ends_the_connection(
    converse: Callable[..., Conversation], line: bytes, status: int
) -> None:
    talk = converse(line + b"\r\n" + HOST + b"\r\n" + NEXT)
    assert (talk.statuses, talk.seen) == ([status], [])


@pytest.mark.parametrize(
    "noise",
    [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x12\x04\x00\x00\x00\x00\x00",  # HTTP/2 with prior knowledge
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x5a" * 200,  # TLS to a plain port
        b"\x05\x01\x00",  # SOCKS
        b"SSH-2.0-OpenSSH_9.9\r\n",
        b"EHLO here\r\n",
        b"\x00" * 64,
        b"\xff\xd8\xff",
        b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
    ],
)
def test_other_protocols_get_one_refusal(converse: Callable[..., Conversation], noise: bytes) -> None:
    talk = converse(noise + NEXT)
    assert (talk.statuses, talk.seen) == ([400], [])


def test_empty_lines_before_a_request_are_skipped(converse: Callable[..., Conversation]) -> None:
    talk = converse(b"\r\n\r\n" + NEXT + b"\r\n" + NEXT)  # RFC 9112 §2.2
    assert len(talk.seen) == 2


@pytest.mark.parametrize(
    "hosts",
    [
        b"",
        b"host: here\r\nhost: here\r\n",
        b"host: here\r\nHost: elsewhere\r\n",
        b"host: here, elsewhere\r\n",
        b"host: here elsewhere\r\n",
        b"host: here/path\r\n",
        b"host: user@here\r\n",
        b"host: here:port\r\n",
        b"host: <here>\r\n",
        b"host: [::1\r\n",
        b"host: here?\r\n",
        b"host: h\xc3\xa9re\r\n",
    ],
)
def test_a_host_that_is_missing_doubled_or_malformed_is_refused(
    converse: Callable[..., Conversation], hosts: bytes
) -> None:
    talk = converse(LINE + hosts + b"\r\n" + NEXT)  # RFC 9112 §3.2
    assert (talk.statuses, talk.seen) == ([400], [])


@pytest.mark.parametrize(
    "host", [b"here", b"here:80", b"here:", b"127.0.0.1:8080", b"[::1]:8080", b"a_b.c-d.example.", b"H%41", b""]
)
def test_every_form_of_a_host_is_taken(converse: Callable[..., Conversation], host: bytes) -> None:
    assert converse(LINE + b"host: " + host + b"\r\n\r\n").statuses == [200]


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (b"/first", b"/first"),
        (b"/first?a=b&c=/d", b"/first"),
        (b"//first", b"//first"),
        (b"/first%00", b"/first%00"),
        (b"http://here/first", b"/first"),
        (b"http://elsewhere:81/first?x", b"/first"),
        (b"HTTPS://here/first", b"/first"),
        (b"http://here", b"/"),
        (b"http://here?x", b"/"),
    ],
)
def test_a_path_is_found_in_every_form_of_target(
    converse: Callable[..., Conversation], target: bytes, path: bytes
) -> None:
    talk = converse(b"GET " + target + b" HTTP/1.1\r\n" + HOST + b"\r\n")
    assert talk.statuses == [200]
    request = talk.application.handled[0]
    assert (request.target, request.path) == (target, path)  # RFC 9112 §3.2.2: absolute-form must be accepted


def test_options_may_ask_about_the_whole_server(converse: Callable[..., Conversation]) -> None:
    talk = converse(b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n" + b"OPTIONS /first HTTP/1.1\r\n" + HOST + b"\r\n")
    assert talk.seen == [(b"OPTIONS", b"*", b""), (b"OPTIONS", b"/first", b"")]


def test_connect_is_refused_and_what_follows_is_never_a_request(converse: Callable[..., Conversation]) -> None:
    talk = converse(b"CONNECT here:443 HTTP/1.1\r\n" + HOST + b"\r\n" + NEXT)
    assert (talk.statuses, talk.seen) == ([405], [])
    split = converse(b"CONNECT here:443 HTTP/1.1\r\n" + HOST + b"\r\n", NEXT)
    assert (split.statuses, split.seen) == ([405], [])


@pytest.mark.parametrize("method", [b"GET", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"TRACE"])
def test_every_usual_method_reaches_the_application(converse: Callable[..., Conversation], method: bytes) -> None:
    talk = converse(method + b" /first HTTP/1.1\r\ncontent-length: 2\r\n" + HOST + b"\r\nhi")
    assert talk.seen == [(method, b"/first", b"hi")]
