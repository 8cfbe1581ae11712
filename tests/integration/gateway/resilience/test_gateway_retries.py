"""Upstreams that fail in every way: what the caller gets, what is sent upstream, what is recorded."""

from __future__ import annotations

import asyncio
import http.client
import random
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import openai
import pytest

from trimtab.providers.resilience import BreakerPolicy, RetryPolicy
from trimtab.serving.snapshot import RolloutRoute

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

QUICK = RetryPolicy(base_seconds=0.01)


@pytest.mark.parametrize(
    "first",
    [[500], [503], [529], [409], [(429, "retry-after-ms: 20")], [None]],
    ids=["500", "503", "529", "409", "429", "cut"],
)
def test_a_passing_failure_is_not_the_callers(
    stack: Callable[..., Any], upstream: Any, first: list[Any], call: Callable[..., Any]
) -> None:
    upstream.then(*first).then("well")
    here = stack(upstream=upstream.base_url, retry=QUICK)
    status, headers, answer = call(here)
    assert (status, answer["choices"][0]["message"]["content"]) == (200, "Hi.")
    assert headers["x-trimtab-attempts"] == "2"
    assert "x-trimtab-fallback" not in headers
    assert upstream.requests[0] == upstream.requests[1]
    [recorded] = here.generations(1)
    assert (recorded.status, recorded.attempts, recorded.fallback, recorded.error_code) == ("ok", 2, 0, "")
    assert recorded.cost_usd == pytest.approx((9 * 1.0 + 2 * 2.0) / 1e6)


def test_the_usual_call_says_nothing_of_attempts(
    stack: Callable[..., Any], upstream: Any, call: Callable[..., Any], health: Callable[..., Any]
) -> None:
    here = stack(upstream=upstream.base_url)
    status, headers, _ = call(here)
    assert status == 200
    assert not {"x-trimtab-attempts", "x-trimtab-fallback", "x-should-retry"} & headers.keys()
    assert here.generations(1)[0].attempts == 1
    assert health(here).items() >= {"state": "closed", "calls": 1, "failures": 0, "retries": 0}.items()


def test_the_last_failure_is_answered_when_attempts_are_used_up(
    stack: Callable[..., Any], upstream: Any, call: Callable[..., Any], health: Callable[..., Any]
) -> None:
    upstream.then(500).then(502).then(503)
    here = stack(upstream=upstream.base_url, retry=QUICK)
    status, headers, answer = call(here)
    assert (status, answer["error"]["code"]) == (503, "code_503")
    assert (headers["x-trimtab-attempts"], headers["x-should-retry"]) == ("3", "false")
    [recorded] = here.generations(1)
    assert (recorded.status, recorded.attempts, recorded.http_status) == ("error", 3, 503)
    assert health(here).items() >= {"failures": 3, "consecutive_failures": 3, "last_failure": "503"}.items()


def test_a_clients_own_retries_do_not_multiply_ours(stack: Callable[..., Any], upstream: Any) -> None:
    for _ in range(9):
        upstream.then(500)
    here = stack(upstream=upstream.base_url, retry=QUICK)
    with pytest.raises(openai.InternalServerError):
        here.client(max_retries=2).chat.completions.create(
            model="support-reply",
            messages=[{"role": "user", "content": "Hi"}],
            extra_body={"trimtab": {"variables": {"shop": "Acme"}}},
        )
    assert len(upstream.requests) == 3


@pytest.mark.parametrize("status", [400, 413, 422, 401, 404])
def test_what_will_not_pass_is_asked_once(
    stack: Callable[..., Any], upstream: Any, status: int, call: Callable[..., Any], health: Callable[..., Any]
) -> None:
    upstream.then(status)
    here = stack(upstream=upstream.base_url, retry=QUICK)
    assert call(here)[0] == (502 if status == 401 else status)
    assert len(upstream.requests) == 1
    assert health(here)["failures"] == (status in {401, 404})


def test_a_long_retry_after_is_the_callers_to_wait_for(
    stack: Callable[..., Any], upstream: Any, call: Callable[..., Any], health: Callable[..., Any]
) -> None:
    upstream.then((429, "retry-after: 30"))
    here = stack(upstream=upstream.base_url, retry=QUICK)
    status, headers, _ = call(here)
    assert (status, headers["retry-after"]) == (429, "30")
    assert "x-should-retry" not in headers
    assert health(here).items() >= {"state": "limited", "failures": 0}.items()
    assert call(here)[0] == 200  # there is no other model, and this request may be small enough


def test_silence_is_not_asked_again_unless_the_settings_say_so(
    stack: Callable[..., Any], upstream: Any, call: Callable[..., Any]
) -> None:
    upstream.then(30.0).then(30.0).then("well")
    here = stack(upstream=upstream.base_url, retry=QUICK, silence_timeout_seconds=0.1)
    status, _, answer = call(here)
    assert (status, answer["error"]["code"], len(upstream.requests)) == (504, "upstream_timeout", 1)
    daring = RetryPolicy(base_seconds=0.01, retry_timeouts=True)
    here = stack(upstream=upstream.base_url, retry=daring, silence_timeout_seconds=0.1)
    assert call(here)[0] == 200
    assert len(upstream.requests) == 3


def test_all_attempts_together_keep_the_deadline(
    stack: Callable[..., Any], upstream: Any, call: Callable[..., Any]
) -> None:
    upstream.then(0.2, 500).then(30.0)
    here = stack(upstream=upstream.base_url, retry=QUICK, upstream_timeout_seconds=0.5)
    status, headers, answer = call(here)
    assert (status, answer["error"]["code"], headers["x-trimtab-attempts"]) == (504, "upstream_timeout", "2")
    assert "2 requests were sent" in answer["error"]["message"]  # the call's deadline, not the second request's own
    [recorded] = here.generations(1)
    assert (recorded.error_code, recorded.attempts) == ("upstream_timeout", 2)


def test_a_stream_that_was_begun_again_keeps_the_calls_deadline(
    stack: Callable[..., Any], upstream: Any, call: Callable[..., Any]
) -> None:
    upstream.then(0.3, 500).then("head", "first piece", 30.0)
    here = stack(upstream=upstream.base_url, retry=QUICK, upstream_timeout_seconds=0.6)
    with pytest.raises(http.client.IncompleteRead) as caught:
        call(here, stream=True)
    assert b"2 requests were sent" in caught.value.partial
    [recorded] = here.generations(1)
    assert (recorded.status, recorded.output, recorded.error_code) == ("error", "Hi", "upstream_timeout")


@pytest.mark.parametrize(
    "first",
    [
        [None],
        ["head", None],
        ["head", "half an event", None],
        ["head", {"error": {"message": "busy", "type": "overloaded_error"}}, None],
        ["head", {"error": {"message": "bad gateway", "code": 502}}, "done", None],
        [503],
    ],
    ids=["no byte", "head", "half an event", "error event", "error with a status", "503"],
)
def test_a_stream_that_dies_before_its_first_piece_is_begun_again(
    stack: Callable[..., Any], upstream: Any, first: list[Any], call: Callable[..., Any]
) -> None:
    upstream.then(*first).then("head", "first piece", "rest")
    here = stack(upstream=upstream.base_url, retry=QUICK)
    status, headers, body = call(here, stream=True)
    assert (status, headers["x-trimtab-attempts"]) == (200, "2")
    assert body.count(b"data: ") == 3
    assert b"error" not in body
    [recorded] = here.generations(1)
    assert (recorded.status, recorded.output, recorded.attempts) == ("ok", "Hi.", 2)


def test_a_stream_that_never_begins_is_a_plain_error(
    stack: Callable[..., Any], upstream: Any, call: Callable[..., Any]
) -> None:
    for _ in range(3):
        upstream.then("head", None)
    here = stack(upstream=upstream.base_url, retry=QUICK)
    status, headers, answer = call(here, stream=True)
    assert (status, answer["error"]["code"]) == (502, "upstream_disconnected")
    assert headers["content-type"] == "application/json"
    assert here.generations(1)[0].http_status == 502


def test_a_stream_that_dies_after_its_first_piece_is_broken_off_and_never_begun_again(
    stack: Callable[..., Any], upstream: Any, call: Callable[..., Any], health: Callable[..., Any]
) -> None:
    upstream.then("head", "first piece", 0.05, None)
    here = stack(upstream=upstream.base_url, retry=QUICK)
    with pytest.raises(http.client.IncompleteRead) as caught:
        call(here, stream=True)
    assert b"Hi" in caught.value.partial
    assert b"upstream_disconnected" in caught.value.partial
    [recorded] = here.generations(1)
    assert (recorded.status, recorded.output, recorded.attempts) == ("error", "Hi", 1)
    assert len(upstream.requests) == 1
    assert health(here)["failures"] == 1


def test_embeddings_are_tried_again_too(
    stack: Callable[..., Any], release: Callable[..., Any], upstream: Any, call: Callable[..., Any]
) -> None:
    search = release(feature="search", system="", model="text-embedding-3-small", parameters={"dimensions": 64})
    upstream.then(500).then("embeddings")
    here = stack(search, upstream=upstream.base_url, retry=QUICK)
    status, headers, _ = call(here, {"model": "search", "input": "x"}, path="/v1/embeddings")
    assert (status, headers["x-trimtab-attempts"]) == (200, "2")
    assert here.generations(1)[0].input_tokens == 3


def test_callers_in_anthropics_format_are_served_the_same(
    stack: Callable[..., Any], upstream: Any, call: Callable[..., Any]
) -> None:
    upstream.then(529).then("well").then("head", None).then("head", "first piece", "rest")
    here = stack(upstream=upstream.base_url, retry=QUICK)
    status, headers, answer = call(here, path="/v1/messages", max_tokens=100)
    assert (status, headers["x-trimtab-attempts"], answer["content"][0]["text"]) == (200, "2", "Hi.")
    status, headers, events = call(here, path="/v1/messages", max_tokens=100, stream=True)
    assert (status, headers["x-trimtab-attempts"]) == (200, "2")
    assert events.count(b"event: message_start") == 1
    assert [(one.format, one.attempts) for one in here.generations(2)] == [("messages", 2), ("messages", 2)]


def test_callers_of_responses_are_served_the_same(
    stack: Callable[..., Any], upstream: Any, call: Callable[..., Any]
) -> None:
    upstream.then(503).then("well").then("head", None).then("head", "first piece", "rest").then(500).then(500).then(500)
    here = stack(upstream=upstream.base_url, retry=QUICK)
    body = {"model": "support-reply", "input": "Hi", "trimtab": {"variables": {"shop": "Acme"}}}
    status, headers, answer = call(here, body, path="/v1/responses")
    assert (status, headers["x-trimtab-attempts"], answer["output"][0]["content"][0]["text"]) == (200, "2", "Hi.")
    status, headers, events = call(here, body, path="/v1/responses", stream=True)
    assert (status, headers["x-trimtab-attempts"]) == (200, "2")
    assert events.count(b"event: response.created") == 1
    assert b"event: response.completed" in events
    status, headers, answer = call(here, body, path="/v1/responses", stream=True)
    assert (status, headers["x-should-retry"], answer["error"]["code"]) == (500, "false", "code_500")
    assert [(one.format, one.attempts) for one in here.generations(3)] == [("responses", n) for n in (2, 2, 3)]


def test_without_a_budget_nothing_is_tried_again(
    stack: Callable[..., Any], upstream: Any, call: Callable[..., Any], health: Callable[..., Any]
) -> None:
    upstream.then(500).then(500)
    stingy = RetryPolicy(base_seconds=0.01, budget_ratio=0.0, budget_per_second=0.1)  # one in ten seconds
    here = stack(upstream=upstream.base_url, retry=stingy)
    status, headers, _ = call(here)
    assert (status, headers["x-trimtab-attempts"]) == (500, "2")
    upstream.then(500)
    status, headers, _ = call(here)
    assert status == 500
    assert "x-trimtab-attempts" not in headers
    assert len(upstream.requests) == 3
    assert health(here).items() >= {"retries": 1, "retries_refused": 2}.items()


def test_a_dead_upstream_is_left_alone_and_taken_back(
    stack: Callable[..., Any],
    upstream: Any,
    eventually: Callable[..., None],
    call: Callable[..., Any],
    health: Callable[..., Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    upstream.stop()
    breaker = BreakerPolicy(consecutive_failures=3, open_seconds=0.3)
    here = stack(upstream=upstream.base_url, retry=QUICK, breaker=breaker)
    status, headers, answer = call(here)
    assert (status, answer["error"]["code"]) == (502, "upstream_unreachable")
    assert headers["x-trimtab-attempts"] == "3"
    status, headers, answer = call(here)
    assert (status, answer["error"]["code"], headers["retry-after"]) == (503, "upstream_circuit_open", "1")
    assert "upstream_unreachable" in answer["error"]["message"]
    assert health(here).items() >= {"state": "open", "opened": 1}.items()
    upstream.start()
    eventually(lambda: call(here)[0] == 200)
    assert health(here)["state"] == "closed"
    [told, *_] = [record.getMessage() for record in caplog.records if record.name == "trimtab.calls"]
    assert told.startswith("openai/gpt-4o-mini-2024-07-18 keeps failing (last: upstream_unreachable)")
    first, refused = here.events()[:2]
    assert (first.error_code, first.attempts) == ("upstream_unreachable", 3)
    assert (refused.error_code, refused.attempts, refused.http_status) == ("upstream_circuit_open", 0, 503)


def test_a_stream_that_has_begun_closes_the_circuit_before_it_ends(
    stack: Callable[..., Any],
    upstream: Any,
    eventually: Callable[..., None],
    call: Callable[..., Any],
    health: Callable[..., Any],
    dial: Callable[..., socket.socket],
) -> None:
    upstream.then(500).then("head", "first piece", 30.0)
    once = RetryPolicy(max_attempts=1)
    here = stack(
        upstream=upstream.base_url, retry=once, breaker=BreakerPolicy(consecutive_failures=1, open_seconds=0.05)
    )
    assert call(here)[0] == 500
    time.sleep(0.06)
    with dial(here, stream=True):
        eventually(lambda: health(here)["state"] == "closed")


def test_a_caller_that_leaves_during_a_wait_is_not_asked_for(
    stack: Callable[..., Any],
    upstream: Any,
    eventually: Callable[..., None],
    health: Callable[..., Any],
    dial: Callable[..., socket.socket],
) -> None:
    upstream.then((503, "retry-after: 4"))
    here = stack(upstream=upstream.base_url)
    with dial(here):
        eventually(lambda: health(here).get("retries") == 1)
    [recorded] = here.generations(1)
    assert (recorded.status, recorded.attempts, recorded.output) == ("aborted", 1, "")
    assert here.run(_timers()) == 0
    assert len(upstream.requests) == 1


def test_copies_for_a_shadowed_candidate_are_sent_once(
    stack: Callable[..., Any],
    release: Callable[..., Any],
    upstream: Any,
    call: Callable[..., Any],
    health: Callable[..., Any],
) -> None:
    upstream.then("well").then(500)
    candidate = release(2)
    route = RolloutRoute(id="r", candidate=candidate.digest, salt="s", stage=0, state="shadowing", shadow=1.0)
    here = stack(release(), candidate, rollout=route, upstream=upstream.base_url, retry=QUICK)
    assert call(here, user="u")[0] == 200
    user, copy = here.generations(2)
    assert (user.status, copy.status, copy.arm, copy.attempts) == ("ok", "error", "shadow", 1)
    assert len(upstream.requests) == 2
    assert health(here)["failures"] == 0  # copies speak neither for nor against a model


def test_no_copy_is_sent_to_a_model_that_keeps_failing(
    stack: Callable[..., Any], release: Callable[..., Any], upstream: Any, call: Callable[..., Any]
) -> None:
    candidate = release(2)
    route = RolloutRoute(id="r", candidate=candidate.digest, salt="s", stage=0, state="shadowing", shadow=1.0)
    upstream.then(500)
    breaker = BreakerPolicy(consecutive_failures=1, open_seconds=60)
    here = stack(release(), candidate, rollout=route, upstream=upstream.base_url, breaker=breaker)
    assert call(here, user="u")[0] == 500
    _, copy = here.generations(2)
    assert (copy.arm, copy.error_code) == ("shadow", "upstream_circuit_open")
    assert len(upstream.requests) == 1


def test_whatever_fails_every_request_upstream_is_in_exactly_one_event(
    stack: Callable[..., Any], upstream: Any, call: Callable[..., Any], health: Callable[..., Any]
) -> None:
    chance = random.Random(7)
    # Closing a kept-alive connection without a byte is no failed attempt: its request is sent again below all this.
    broken = [b"HTTP/1.1 2", None]
    failures: list[list[Any]] = [["well"], [500], broken, [(429, "retry-after-ms: 5")], [400], ["head", None], [401]]
    for _ in range(600):
        upstream.then(*chance.choices(failures, weights=[14, 2, 2, 1, 1, 1, 1])[0])
    here = stack(upstream=upstream.base_url, retry=QUICK, breaker=BreakerPolicy(open_seconds=0.01))
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: call(here), range(160)))
    events = here.generations(160)
    assert sum(event.attempts for event in events) == len(upstream.requests)
    assert max(event.attempts for event in events) <= 3
    assert sorted(event.id for event in events) == sorted(headers["x-trimtab-generation"] for _, headers, _ in answers)
    assert sorted(event.http_status for event in events) == sorted(status for status, _, _ in answers)
    assert health(here)["retries"] == sum(max(event.attempts - 1, 0) for event in events)
    assert here.run(_timers()) == 0


async def _timers() -> int:
    """Count the calls of the stack's loop that still wait for a retry."""
    loop = asyncio.get_running_loop()
    return sum("wait_is_over" in repr(timer) for timer in loop._scheduled if not timer.cancelled())  # type: ignore[attr-defined]
