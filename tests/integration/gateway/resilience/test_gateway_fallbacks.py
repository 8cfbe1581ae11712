"""A release's own model fails: its fallbacks answer, in order, in whichever wire format they speak."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from trimtab.artifacts.model import ModelContent
from trimtab.providers.resilience import BreakerPolicy, RetryPolicy
from trimtab.releases.model import WIRE_VERSION, Fallback
from trimtab.serving.snapshot import RolloutRoute

if TYPE_CHECKING:
    from collections.abc import Callable

QUICK = RetryPolicy(base_seconds=0.01)
ONCE = BreakerPolicy(consecutive_failures=1, open_seconds=60)


OTHER = Fallback(
    model=ModelContent(provider="backup", model="llama-3.3-70b", parameters={"temperature": 0.1}), wire=WIRE_VERSION
)
CLAUDE = Fallback(
    model=ModelContent(provider="backup", model="claude-sonnet-5", parameters={"max_tokens": 500}),
    wire="anthropic-messages/1",
)
SMALLER = Fallback(model=ModelContent(provider="openai", model="gpt-4.1-nano", parameters={}), wire=WIRE_VERSION)
UNKNOWN = Fallback(model=ModelContent(provider="nowhere", model="x", parameters={}), wire=WIRE_VERSION)


@pytest.fixture
def chained(stack: Callable[..., Any], release: Callable[..., Any], upstream: Any, backup: Any) -> Callable[..., Any]:
    """A gateway whose one release has fallbacks."""

    def make(*fallbacks: Fallback, own: dict[str, Any] | None = None, **options: Any) -> Any:
        settings = {"retry": QUICK, "providers": {"backup": backup.base_url}, **options}
        return stack(release(**own or {}, fallbacks=list(fallbacks)), upstream=upstream.base_url, **settings)

    return make


def asked(upstream: Any) -> list[str]:
    return [json.loads(request)["model"] for request in upstream.requests]


@pytest.mark.parametrize("stream", [False, True])
def test_a_dead_model_is_replaced_by_the_first_fallback(
    chained: Callable[..., Any], upstream: Any, backup: Any, call: Callable[..., Any], *, stream: bool
) -> None:
    upstream.stop()
    backup.then("head", "first piece", "rest") if stream else backup.then("well")
    here = chained(OTHER)
    status, headers, _ = call(here, stream=stream)
    assert (status, headers["x-trimtab-attempts"], headers["x-trimtab-fallback"]) == (200, "3", "1")
    [recorded] = here.generations(1)
    assert (recorded.provider, recorded.requested_model) == ("backup", "llama-3.3-70b")
    assert (recorded.status, recorded.attempts, recorded.fallback, recorded.output) == ("ok", 3, 1, "Hi.")
    assert recorded.cost_usd == pytest.approx((recorded.input_tokens * 10.0 + recorded.output_tokens * 20.0) / 1e6)
    sent = json.loads(backup.requests[0])
    assert (sent["model"], sent["temperature"]) == ("llama-3.3-70b", 0.1)
    assert sent["messages"] == recorded.messages


def test_a_fallback_may_speak_anthropics_format(
    chained: Callable[..., Any], upstream: Any, backup: Any, call: Callable[..., Any]
) -> None:
    upstream.then(401)
    backup.then("message")
    here = chained(CLAUDE)
    status, headers, answer = call(here)
    assert (status, headers["x-trimtab-fallback"]) == (200, "1")
    assert answer["choices"][0]["message"]["content"] == "Hi from Claude."
    [recorded] = here.generations(1)
    assert (recorded.requested_model, recorded.output_tokens, recorded.attempts) == ("claude-sonnet-5", 4, 2)
    sent = json.loads(backup.requests[0])
    assert sent["system"]
    assert [message["role"] for message in sent["messages"]] == ["user"]


def test_an_open_circuit_goes_straight_to_the_fallback(
    chained: Callable[..., Any], upstream: Any, backup: Any, call: Callable[..., Any], health: Callable[..., Any]
) -> None:
    upstream.then(500)
    here = chained(OTHER, breaker=ONCE)
    assert call(here)[0] == 200
    status, headers, _ = call(here)
    assert (status, headers["x-trimtab-fallback"]) == (200, "1")
    assert "x-trimtab-attempts" not in headers
    assert (len(upstream.requests), len(backup.requests)) == (1, 2)
    assert [(one.attempts, one.fallback) for one in here.generations(2)] == [(2, 1), (1, 1)]
    assert health(here)["state"] == "open"
    assert health(here, "backup").items() >= {"state": "closed", "calls": 2, "retries": 0}.items()


def test_a_rate_limited_model_is_passed_over_until_it_said(
    chained: Callable[..., Any], upstream: Any, backup: Any, call: Callable[..., Any], health: Callable[..., Any]
) -> None:
    upstream.then((429, "retry-after: 20"))
    here = chained(OTHER)
    assert [call(here)[0] for _ in range(3)] == [200, 200, 200]
    assert (len(upstream.requests), len(backup.requests)) == (1, 3)
    assert health(here).items() >= {"state": "limited", "failures": 0}.items()


def test_with_every_circuit_open_nothing_is_sent(
    chained: Callable[..., Any], upstream: Any, backup: Any, call: Callable[..., Any]
) -> None:
    upstream.then(500)
    backup.then(503)
    here = chained(OTHER, breaker=ONCE)
    assert call(here)[0] == 503
    status, headers, answer = call(here)
    assert (status, answer["error"]["code"]) == (503, "upstream_circuit_open")
    assert 45 <= int(headers["retry-after"]) <= 60
    for name in ("openai/gpt-4o-mini-2024-07-18 (last failure: 500)", "backup/llama-3.3-70b (last failure: 503)"):
        assert name in answer["error"]["message"]
    assert (len(upstream.requests), len(backup.requests)) == (1, 1)


def test_each_fallback_has_its_turn_and_the_last_answer_counts(
    chained: Callable[..., Any], upstream: Any, backup: Any, call: Callable[..., Any]
) -> None:
    upstream.then(500).then(404)
    backup.then((529, "retry-after: 60"))
    here = chained(SMALLER, OTHER)
    status, headers, answer = call(here)
    assert (status, answer["error"]["code"], headers["retry-after"]) == (529, "code_529", "60")
    assert asked(upstream) == ["gpt-4o-mini-2024-07-18", "gpt-4.1-nano"]
    assert asked(backup) == ["llama-3.3-70b"]
    [recorded] = here.generations(1)
    assert (recorded.attempts, recorded.fallback, recorded.requested_model) == (3, 2, "llama-3.3-70b")
    assert recorded.cost_usd == 0  # nobody knows the price of the second: not the first one's, nor the release's


def test_a_wrong_request_is_not_offered_around(
    chained: Callable[..., Any], upstream: Any, backup: Any, call: Callable[..., Any]
) -> None:
    upstream.then(400)
    here = chained(OTHER)
    assert call(here)[0] == 400
    assert not backup.requests


def test_a_fallback_that_cannot_carry_the_request_is_passed_over(
    chained: Callable[..., Any], upstream: Any, backup: Any, call: Callable[..., Any]
) -> None:
    upstream.then(401)
    here = chained(CLAUDE, OTHER)
    status, headers, _ = call(here, n=2)  # Anthropic's format has no `n`
    assert (status, headers["x-trimtab-fallback"], headers["x-trimtab-attempts"]) == (200, "2", "2")
    assert asked(backup) == ["llama-3.3-70b"]
    upstream.then(401)
    alone = chained(CLAUDE)
    status, _, answer = call(alone, n=2)
    assert (status, answer["error"]["code"]) == (502, "upstream_authentication_failed")
    assert alone.generations(1)[0].attempts == 1


def test_what_this_process_cannot_call_is_left_out_and_said_in_the_log(
    chained: Callable[..., Any],
    backup: Any,
    call: Callable[..., Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    here = chained(UNKNOWN, OTHER, own={"provider": "keyless"})
    status, headers, _ = call(here)
    assert (status, headers["x-trimtab-fallback"]) == (200, "2")
    assert here.generations(1)[0].provider == "backup"
    said = [record.getMessage() for record in caplog.records if record.name == "trimtab.calls"]
    assert [line.partition(" cannot")[0].partition(": ")[2] for line in said] == [
        "keyless/gpt-4o-mini-2024-07-18",
        "nowhere/x",
    ]


def test_nothing_falls_back_once_the_caller_has_a_piece(
    chained: Callable[..., Any], upstream: Any, backup: Any, dial: Callable[..., Any]
) -> None:
    upstream.then("head", "first piece", None)
    here = chained(OTHER)
    with dial(here, stream=True) as connection:
        received = b""
        while data := connection.recv(65536):
            received += data
    assert b"upstream_disconnected" in received
    assert not backup.requests
    assert here.generations(1)[0].fallback == 0


def test_a_copy_is_never_answered_by_a_fallback(
    stack: Callable[..., Any], release: Callable[..., Any], upstream: Any, backup: Any, call: Callable[..., Any]
) -> None:
    candidate = release(2, provider="keyless", fallbacks=[OTHER])
    route = RolloutRoute(id="r", candidate=candidate.digest, salt="s", stage=0, state="shadowing", shadow=1.0)
    here = stack(release(), candidate, rollout=route, upstream=upstream.base_url, providers={"backup": backup.base_url})
    assert call(here, user="u")[0] == 200
    _, copy = here.generations(2)
    assert (copy.arm, copy.error_code, copy.fallback) == ("shadow", "upstream_unavailable", 0)
    assert not backup.requests
