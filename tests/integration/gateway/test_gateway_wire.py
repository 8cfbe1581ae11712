"""The gateway below any client: raw bytes, headers, probes, feedback, shadows, callers that leave."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import socket
from typing import TYPE_CHECKING, Any

import pytest

from trimtab.core.errors import InputError
from trimtab.events import Feedback, Generation
from trimtab.gateway.config import GatewayConfig, check_bind
from trimtab.policy.keys import hash_key
from trimtab.serving.assignment import session_unit
from trimtab.serving.snapshot import Challenger, RolloutRoute
from trimtab.serving.team_limit import TeamLimit
from trimtab.sim.config import Latency, Rule, SimConfig, When

if TYPE_CHECKING:
    from collections.abc import Callable

BODY: dict[str, Any] = {
    "model": "support-reply",
    "messages": [{"role": "user", "content": "Where is order A-1007?"}],
    "trimtab": {"variables": {"shop": "Acme"}},
}
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def call(
    here: Any, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection(here.host, here.port, timeout=10)
    try:
        content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        connection.request(method, path, content, {"content-type": "application/json"} | (headers or {}))
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def raw(here: Any, *pieces: bytes, until: bytes) -> bytes:
    with socket.create_connection((here.host, here.port), timeout=10) as connection:
        for piece in pieces:
            connection.sendall(piece)
        received = b""
        while until not in received and (data := connection.recv(65536)):
            received += data
        return received


def post(body: dict[str, Any], *lines: str) -> bytes:
    content = json.dumps(body).encode()
    head = [
        "POST /v1/chat/completions HTTP/1.1",
        "host: localhost",
        "content-type: application/json",
        f"content-length: {len(content)}",
        *lines,
    ]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + content


def error_of(answer: tuple[int, dict[str, str], bytes]) -> tuple[int, str, str | None]:
    error = json.loads(answer[2])["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    return answer[0], error["code"], error["param"]


@pytest.mark.parametrize(
    ("body", "status", "code", "said"),
    [
        (b'{"model": "support-reply", "messages": [],}', 400, "invalid_json", "byte 42"),
        (b'{"model": "\xff"}', 400, "not_utf8", "byte 11"),
        (b'{"model": "support-rep', 400, "invalid_json", "byte 22"),
        (b"[]", 400, "invalid_json", "object"),
        (b"", 400, "invalid_json", "byte 0"),
        (b'{"messages": ' + b"[" * 100_000, 400, "invalid_json", "recursion"),
        (b'{"messages": []}', 400, "missing_field", "model"),
        (b'{"model": "support-reply", "stream": "yes"}', 400, "invalid_type", "stream"),
        (
            b'{"model": "support-reply", "messages": "hi", "trimtab": {"variables": {"shop": "a"}}}',
            400,
            "invalid_type",
            "array",
        ),
        (b'{"model": "support-reply", "user": 7}', 400, "invalid_type", "user"),
    ],
)
def test_bodies_that_are_no_request_are_refused_with_the_place(
    stack: Callable[..., Any], body: bytes, status: int, code: str, said: str
) -> None:
    answer = call(stack(), "POST", "/v1/chat/completions", body)
    assert error_of(answer)[:2] == (status, code)
    assert said in json.loads(answer[2])["error"]["message"]


def test_paths_methods_and_sizes(stack: Callable[..., Any]) -> None:
    here = stack(max_body_bytes=1000)
    assert error_of(call(here, "POST", "/v1/completions", {}))[:2] == (404, "unknown_url")
    wrong = call(here, "GET", "/v1/chat/completions")
    assert error_of(wrong)[:2] == (405, "method_not_allowed")
    assert wrong[1]["allow"] == "POST"
    assert error_of(call(here, "POST", "/v1/chat/completions", b"x" * 1001))[:2] == (413, "request_too_large")
    status, headers, body = call(here, "HEAD", "/v1/models")
    assert (status, body) == (200, b"")
    assert int(headers["content-length"]) > 10


def test_pipelined_requests_are_answered_in_order(stack: Callable[..., Any]) -> None:
    here = stack()
    requests = [post({**BODY, "messages": [{"role": "user", "content": f"order C-{100 + n}"}]}) for n in range(12)]
    requests.append(post(BODY, "connection: close"))
    answer = raw(here, b"".join(requests), until=b"\x00")
    seen = [json.loads(part)["order_id"] for part in _contents(answer)]
    assert seen == [*(f"C-{100 + n}" for n in range(12)), "A-1007"]


def _contents(answer: bytes) -> list[str]:
    bodies = [part.partition(b"\r\n\r\n")[2] for part in answer.split(b"HTTP/1.1 200")[1:]]
    return [json.loads(body)["choices"][0]["message"]["content"] for body in bodies]


def test_a_chunked_request_and_one_that_waits_for_leave(stack: Callable[..., Any]) -> None:
    here = stack()
    content = json.dumps(BODY).encode()
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n"
    head += b"content-type: application/json\r\n"
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (content[:7], content[7:])) + b"0\r\n\r\n"
    answer = raw(here, head + b"transfer-encoding: chunked\r\n\r\n", chunks, until=b"\x00")
    assert json.loads(_contents(answer)[0])["order_id"] == "A-1007"
    with socket.create_connection((here.host, here.port), timeout=10) as connection:
        connection.sendall(head + b"expect: 100-continue\r\ncontent-length: %d\r\n\r\n" % len(content))
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(content)
        assert connection.recv(100).startswith(b"HTTP/1.1 200 OK")


def test_unit_variables_and_trace_may_come_in_headers(stack: Callable[..., Any]) -> None:
    here = stack()
    body = {name: value for name, value in BODY.items() if name != "trimtab"}
    headers = {
        "x-trimtab-unit": "tenant-9",
        "x-trimtab-variables": '{"shop": "Acme"}',
        "traceparent": f"00-{TRACE}-00f067aa0ba902b7-01",
    }
    assert call(here, "POST", "/v1/chat/completions", {**body, "user": "u"}, headers)[0] == 200
    [event] = here.generations(1)
    assert (event.unit, event.variables, event.trace) == ("tenant-9", {"shop": "Acme"}, TRACE)
    both = call(here, "POST", "/v1/chat/completions", BODY, headers)
    assert error_of(both) == (400, "conflicting_variables", "x-trimtab-variables")
    broken = call(here, "POST", "/v1/chat/completions", body, {"x-trimtab-variables": "{shop}"})
    assert error_of(broken) == (400, "invalid_json", "x-trimtab-variables")


def test_a_session_is_randomised_where_the_plan_says_so_and_no_user_is_named(
    stack: Callable[..., Any], release: Callable[..., Any]
) -> None:
    candidate = release(2)
    route = RolloutRoute(
        id="ro_1", candidate=candidate.digest, salt="s", stage=1, state="progressing", weight=1.0, fallback="session"
    )
    here = stack(release(1), candidate, rollout=route)
    nobody = {name: value for name, value in BODY.items() if name != "user"}
    session = {"x-trimtab-session": "s-1"}
    for body, headers in [(nobody, session), ({**nobody, "user": "ann"}, session), (nobody, {})]:
        assert call(here, "POST", "/v1/chat/completions", body, headers)[0] == 200
    met = [(event.unit, event.arm) for event in here.generations(3)]
    assert met == [(session_unit("s-1"), "candidate"), ("ann", "candidate"), ("", "stable")]
    long = call(here, "POST", "/v1/chat/completions", nobody, {"x-trimtab-session": "x" * 513})
    assert error_of(long) == (400, "invalid_unit", "x-trimtab-session")


def test_a_challenger_answers_its_own_units(stack: Callable[..., Any], release: Callable[..., Any]) -> None:
    candidate, challenger = release(2), release(3)
    route = RolloutRoute(
        id="ro_1",
        candidate=candidate.digest,
        salt="s",
        stage=1,
        state="progressing",
        challengers=[Challenger(release=challenger.digest, start=0.0, end=1.0)],
    )
    here = stack(release(1), candidate, challenger, rollout=route)
    answer = call(here, "POST", "/v1/chat/completions", {**BODY, "user": "ann"})
    assert answer[0] == 200
    assert (answer[1]["x-trimtab-arm"], answer[1]["x-trimtab-release"]) == ("challenger", "support-reply#3")
    [event] = here.generations(1)
    assert (event.arm, event.release, event.release_number) == ("challenger", challenger.digest, 3)


def test_a_malformed_traceparent_is_ignored(stack: Callable[..., Any]) -> None:
    here = stack()
    assert call(here, "POST", "/v1/chat/completions", BODY, {"traceparent": f"00-{'0' * 32}-1-01"})[0] == 200
    assert here.generations(1)[0].trace == ""


@pytest.mark.parametrize("stream", [True, False])
def test_a_caller_that_leaves_aborts_the_upstream_and_is_recorded(
    stack: Callable[..., Any],
    eventually: Callable[..., None],
    stream: bool,  # noqa: FBT001
) -> None:
    slow = Latency(median_ms=0 if stream else 60_000)
    here = stack(sim=SimConfig(rules=[Rule(name="slow", latency=slow)], chunk_gap_ms=100))
    with socket.create_connection((here.host, here.port), timeout=10) as connection:
        connection.sendall(post({**BODY, "stream": stream}))
        if stream:
            received = b""
            while received.count(b"data: ") < 3:
                received += connection.recv(65536)
        else:
            eventually(lambda: here.sim.served == 1)
    eventually(lambda: here.sim.aborted == 1)
    [event] = here.generations(1)
    assert (event.status, event.stream, event.output != "") == ("aborted", stream, stream)


def test_an_upstream_that_breaks_off_breaks_the_callers_stream(stack: Callable[..., Any]) -> None:
    with _broken_upstream() as url:
        here = stack(upstream=url)
        answer = raw(here, post({**BODY, "stream": True}), until=b"\x00")
    assert b'"hel"' in answer
    assert b"upstream_disconnected" in answer
    assert not answer.endswith(b"0\r\n\r\n")
    [event] = here.generations(1)
    assert (event.status, event.error_code, event.output) == ("error", "upstream_disconnected", "hel")


@contextlib.contextmanager
def _broken_upstream() -> Any:
    import threading

    chunk = b'data: {"choices":[{"index":0,"delta":{"content":"hel"}}]}\n\n'
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(head + b"%x\r\n%s\r\n" % (len(chunk), chunk))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        thread.join()


def test_a_silent_upstream_is_504(stack: Callable[..., Any]) -> None:
    here = stack(
        sim=SimConfig(rules=[Rule(name="slow", latency=Latency(median_ms=60_000))]), upstream_timeout_seconds=0.1
    )
    answer = call(here, "POST", "/v1/chat/completions", BODY)
    assert error_of(answer)[:2] == (504, "upstream_timeout")
    assert answer[1]["x-trimtab-release"] == "support-reply#1"
    assert here.generations(1)[0].error_code == "upstream_timeout"


def shadowing(**parts: Any) -> RolloutRoute:
    return RolloutRoute(**{"id": "rol_1", "salt": "s", "stage": 0, "state": "shadowing", "shadow": 1.0, **parts})


@pytest.mark.parametrize("stream", [True, False])
def test_a_shadow_gets_the_candidates_own_request_and_is_recorded_beside(
    stack: Callable[..., Any],
    release: Callable[..., Any],
    stream: bool,  # noqa: FBT001
) -> None:
    candidate = release(
        2, system="WARM JSON for {{ shop }}", model="gpt-4o-2024-08-06", parameters={"temperature": 0.9}
    )
    here = stack(release(), candidate, rollout=shadowing(candidate=candidate.digest))
    status, headers, _ = call(here, "POST", "/v1/chat/completions", {**BODY, "user": "u1", "stream": stream})
    assert (status, headers["x-trimtab-arm"], headers["x-trimtab-rollout"]) == (200, "matched_control", "rol_1")
    primary, shadow = sorted(here.generations(2), key=lambda event: event.arm)
    assert (primary.arm, shadow.arm) == ("matched_control", "shadow")
    assert shadow.mirrors == primary.id == headers["x-trimtab-generation"]
    assert (shadow.release, shadow.release_number, shadow.status) == (candidate.digest, 2, "ok")
    assert shadow.requested_model == shadow.served_model == "gpt-4o-2024-08-06"
    assert shadow.messages[0]["content"] == "WARM JSON for Acme"
    assert (shadow.rollout, shadow.stage, shadow.unit, shadow.stream) == ("rol_1", 0, "u1", stream)
    assert shadow.output != ""


def test_a_shadow_that_fails_is_an_error_event_and_nobody_waits_for_it(
    stack: Callable[..., Any], release: Callable[..., Any]
) -> None:
    candidate = release(2, system="SLOW {{ shop }}")
    rules = [
        Rule(name="slow", when=When(system_contains="slow"), error_rate=1.0, latency=Latency(median_ms=300)),
    ]
    here = stack(release(), candidate, rollout=shadowing(candidate=candidate.digest), sim=SimConfig(rules=rules))
    assert call(here, "POST", "/v1/chat/completions", {**BODY, "user": "u1"})[0] == 200
    assert len([event for event in here.events() if isinstance(event, Generation)]) == 1
    primary, shadow = here.generations(2)
    assert (primary.status, shadow.status, shadow.http_status) == ("ok", "error", 500)


def test_a_candidate_that_refuses_what_stable_takes_is_found_in_the_shadow(
    stack: Callable[..., Any], release: Callable[..., Any]
) -> None:
    candidate = release(2, parameters={"top_p": 0.5})
    here = stack(release(), candidate, rollout=shadowing(candidate=candidate.digest))
    assert call(here, "POST", "/v1/chat/completions", {**BODY, "user": "u1", "top_p": 0.1})[0] == 200
    _, shadow = here.generations(2)
    assert (shadow.arm, shadow.error_code) == ("shadow", "pinned_field")


def test_feedback_is_on_disk_when_it_is_answered(stack: Callable[..., Any]) -> None:
    here = stack()
    generation = call(here, "POST", "/v1/chat/completions", BODY)[1]["x-trimtab-generation"]
    given = {"generation_id": generation, "name": "thumbs", "value": True, "comment": "good", "user": "u"}
    status, _, body = call(here, "POST", "/v1/feedback", given)
    assert (status, json.loads(body)["generation_id"]) == (200, generation)
    assert here.plane.health()["durable"] == here.plane.health()["recorded"] == 2
    [event] = [event for event in here.events() if isinstance(event, Feedback)]
    assert (event.generation, event.name, event.value, event.unit) == (generation, "thumbs", 1.0, "u")
    for wrong, param in (
        ({**given, "generation_id": "chatcmpl-1"}, "generation_id"),
        ({**given, "value": "good"}, "value"),
        ({**given, "score": 1}, None),
    ):
        answer = error_of(call(here, "POST", "/v1/feedback", wrong))
        assert (answer[0], answer[2]) == (400, param)


def test_a_new_snapshot_serves_from_the_next_request_on(
    stack: Callable[..., Any], release: Callable[..., Any], snapshot: Callable[..., Any]
) -> None:
    here = stack()
    here.publish(snapshot(release(2), revision=2))
    assert call(here, "POST", "/v1/chat/completions", BODY)[1]["x-trimtab-release"] == "support-reply#2"


def test_revoking_the_last_key_off_loopback_opens_nothing(
    stack: Callable[..., Any], snapshot: Callable[..., Any], release: Callable[..., Any]
) -> None:
    here = stack(keys={hashlib.sha256(b"tk-good").hexdigest(): "support"}, host="0.0.0.0")
    here.host = "127.0.0.1"
    key = {"authorization": "Bearer tk-good"}
    assert call(here, "POST", "/v1/chat/completions", BODY, key)[0] == 200
    here.publish(snapshot(release(), revision=2))
    assert call(here, "POST", "/v1/chat/completions", BODY)[0] == 401
    assert call(here, "POST", "/v1/chat/completions", BODY, key)[0] == 401
    assert call(here, "GET", "/readyz")[0] == 200


def test_probes(stack: Callable[..., Any]) -> None:
    here = stack()
    status, _, body = call(here, "GET", "/readyz")
    assert (status, json.loads(body)["status"], json.loads(body)["revision"]) == (200, "ready", 1)


def test_where_keys_exist_probes_without_one_are_told_nothing_but_the_status(stack: Callable[..., Any]) -> None:
    here = stack(keys={hash_key("tk-good"): "support"}, limits={"*": TeamLimit(concurrent=9)})
    key = {"authorization": "Bearer tk-good"}
    assert call(here, "POST", "/v1/chat/completions", BODY, key)[0] == 200
    for path, told in (("/healthz", {"status": "ok"}), ("/readyz", {"status": "ready"})):
        for sent in ({}, {"authorization": "Bearer tk-bad"}, {"x-api-key": "tk-bad"}):
            status, _, body = call(here, "GET", path, None, sent)
            assert (status, json.loads(body)) == (200, told)
        assert json.loads(call(here, "GET", path, None, key)[2])["revision"] == 1
    page = json.loads(call(here, "GET", "/healthz", None, {"x-api-key": "tk-good"})[2])
    assert [one["team"] for one in page["limits"]] == ["support"]
    assert [one["provider"] for one in page["models"]] == ["openai"]


def test_listening_off_loopback_needs_a_key_or_a_word() -> None:
    for host in ("0.0.0.0", "10.0.0.7", "gateway.example"):
        with pytest.raises(InputError, match="without asking for a key"):
            check_bind(GatewayConfig(host=host), has_keys=False)
        check_bind(GatewayConfig(host=host), has_keys=True)
        check_bind(GatewayConfig(host=host, trust_network=True), has_keys=False)
    for host in ("127.0.0.1", "::1", "localhost", "127.8.8.8"):
        check_bind(GatewayConfig(host=host), has_keys=False)


@pytest.mark.parametrize(
    ("method", "path", "headers", "status", "code"),
    [
        ("POST", "/v1/chat/completions", {"content-type": "text/plain"}, 415, "not_json"),
        ("POST", "/v1/feedback", {"content-type": "application/x-www-form-urlencoded"}, 415, "not_json"),
        ("GET", "/v1/models", {"host": "evil.example"}, 403, "foreign_host"),
        ("POST", "/v1/chat/completions", {"host": "evil.example:80"}, 403, "foreign_host"),
    ],
)
def test_a_web_page_of_somebody_else_cannot_use_an_open_gateway(
    stack: Callable[..., Any], method: str, path: str, headers: dict[str, str], status: int, code: str
) -> None:
    answer = call(stack(), method, path, BODY if method == "POST" else None, headers)
    assert (answer[0], json.loads(answer[2])["error"]["code"]) == (status, code)
