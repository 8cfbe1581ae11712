"""What a failed attempt means, and how long an upstream asks to wait."""

from __future__ import annotations

import email.utils

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.providers.resilience import (
    AttemptResult,
    RetryPolicy,
    backoff_seconds,
    classify,
    retry_after_seconds,
    should_retry,
    wait_seconds,
)

POLICY = RetryPolicy()


@pytest.mark.parametrize(
    ("status", "again", "elsewhere", "blame"),
    [
        *((status, True, True, "target") for status in (408, 500, 502, 503, 504, 520, 529)),
        *((status, False, True, "target") for status in (302, 401, 402, 403, 404, 410, 501, 505)),
        *((status, False, False, "request") for status in (400, 405, 413, 415, 422, 451)),
        (409, True, True, "nobody"),
        (425, True, True, "nobody"),
        (429, True, True, "limit"),
    ],
)
def test_what_a_status_means(status: int, again: bool, elsewhere: bool, blame: str) -> None:  # noqa: FBT001
    assert classify(AttemptResult(status), POLICY) == (again, elsewhere, blame)


@pytest.mark.parametrize(
    ("code", "again", "elsewhere", "blame"),
    [
        ("upstream_unreachable", True, True, "target"),
        ("upstream_connect_timeout", True, True, "target"),
        ("upstream_disconnected", True, True, "target"),
        ("upstream_truncated", True, True, "target"),
        ("upstream_timeout", False, True, "target"),
        ("upstream_malformed", False, True, "target"),
        ("unknown_provider", False, True, "nobody"),
        ("provider_key_missing", False, True, "nobody"),
        ("overloaded_error", True, True, "target"),
        ("rate_limit_exceeded", True, True, "limit"),
        ("upstream_closed", False, False, "nobody"),
        ("invalid_type", False, False, "nobody"),
        ("", False, False, "nobody"),
    ],
)
def test_what_no_answer_means(code: str, again: bool, elsewhere: bool, blame: str) -> None:  # noqa: FBT001
    assert classify(AttemptResult(0, code), POLICY) == (again, elsewhere, blame)


def test_a_timeout_is_sent_to_the_same_target_only_where_the_policy_says_so() -> None:
    timeout = AttemptResult(0, "upstream_timeout")
    assert not classify(timeout, POLICY).again
    assert classify(timeout, RetryPolicy(retry_timeouts=True)).again


def test_a_prompt_too_long_goes_elsewhere_only_where_the_policy_says_so() -> None:
    too_long = AttemptResult(400, "context_length_exceeded")
    assert classify(too_long, POLICY) == (False, False, "request")
    assert classify(too_long, RetryPolicy(fallback_on_context_length=True)) == (False, True, "request")
    assert not classify(AttemptResult(400, "content_filter"), RetryPolicy(fallback_on_context_length=True)).elsewhere


def test_a_used_up_quota_is_not_asked_again() -> None:
    assert classify(AttemptResult(429, "insufficient_quota"), POLICY) == (False, True, "limit")


def test_the_upstreams_own_word_decides_about_the_same_target() -> None:
    assert not classify(AttemptResult(503, should_retry=False), POLICY).again
    assert classify(AttemptResult(503, should_retry=False), POLICY).elsewhere
    assert classify(AttemptResult(400, should_retry=True), POLICY).again


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ([(b"retry-after", b"7")], 7.0),
        ([(b"retry-after", b"0.5")], 0.5),
        ([(b"retry-after", b"-3")], 0.0),
        ([(b"retry-after", b"60"), (b"retry-after-ms", b"250")], 0.25),
        ([(b"retry-after-ms", b"soon"), (b"retry-after", b"2")], 2.0),
        ([(b"retry-after", b"Sun, 06 Nov 1994 08:49:37 GMT")], 37.0),
        ([(b"retry-after", b"Sun, 06 Nov 1994 08:48:00 GMT")], 0.0),
        ([(b"retry-after", b"inf")], None),
        ([(b"retry-after", b"nan")], None),
        ([(b"retry-after", b"tomorrow")], None),
        ([(b"retry-after", b"\xff")], None),
        ([(b"x-request-id", b"7")], None),
        ([], None),
    ],
)
def test_how_long_an_upstream_asks_to_wait(headers: list[tuple[bytes, bytes]], seconds: float | None) -> None:
    now = email.utils.parsedate_to_datetime("Sun, 06 Nov 1994 08:49:00 GMT").timestamp()
    assert retry_after_seconds(headers, now_epoch=now) == seconds


@given(st.binary(max_size=40))
def test_no_header_value_breaks_reading_it(value: bytes) -> None:
    for name in (b"retry-after", b"retry-after-ms"):
        seconds = retry_after_seconds([(name, value)], now_epoch=1.7e9)
        assert seconds is None or seconds >= 0
    assert should_retry([(b"x-should-retry", value)]) in {None, True, False}


def test_should_retry_is_read_without_regard_to_case() -> None:
    assert should_retry([(b"x-should-retry", b"True")]) is True
    assert should_retry([(b"x-should-retry", b"false")]) is False
    assert should_retry([(b"x-should-retry", b"maybe")]) is None


@given(st.integers(0, 9), st.floats(0, 1, exclude_max=True))
def test_backoff_is_between_nothing_and_the_capped_exponential(retry: int, draw: float) -> None:
    policy = RetryPolicy(base_seconds=0.25, max_seconds=8)
    assert 0 <= backoff_seconds(policy, retry, draw) <= min(8, 0.25 * 2**retry)
    assert backoff_seconds(policy, retry, 0.5) == min(8, 0.25 * 2**retry) / 2


def test_retry_after_is_a_lower_bound_up_to_the_limit() -> None:
    policy = RetryPolicy(base_seconds=0.25, max_retry_after_seconds=5)
    assert wait_seconds(policy, 0, 0.0, retry_after=5.0) == 5.0
    assert wait_seconds(policy, 0, 0.8, retry_after=2.0) == pytest.approx(2.2)
    assert wait_seconds(policy, 0, 0.0, retry_after=5.01) is None
