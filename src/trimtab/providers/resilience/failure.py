"""What a failed attempt means: try the same target again, try another, and whose fault it was."""

from __future__ import annotations

import math
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trimtab.providers.resilience.policy import RetryPolicy

__all__ = ["AttemptResult", "Blame", "Failure", "classify", "retry_after_seconds", "should_retry"]

Blame = Literal["target", "limit", "nobody", "request"]
"""`target`: counts against its health. `limit`: it is rate limited. `request`: it answered, and was right to refuse."""


class AttemptResult(NamedTuple):
    """What is known of an attempt that failed."""

    status: int = 0
    """HTTP status that the upstream answered with; 0 where no answer came."""
    code: str = ""
    """Error code: ours where no answer came, else the provider's."""
    retry_after: float | None = None
    """Seconds the upstream asked to wait; `None` where it did not say."""
    should_retry: bool | None = None
    """The upstream's own word (`x-should-retry`); `None` where it gave none."""
    begun: bool = False
    """Whether the caller has been given a byte of the answer: then nothing may be tried again."""


class Failure(NamedTuple):
    """What follows from a failed attempt."""

    again: bool
    """The same target may be asked again."""
    elsewhere: bool
    """Another target may do better."""
    blame: Blame


_REQUEST = Failure(again=False, elsewhere=False, blame="request")
_TARGET = Failure(again=False, elsewhere=True, blame="target")
_TRANSIENT = Failure(again=True, elsewhere=True, blame="target")
_BUSY = Failure(again=True, elsewhere=True, blame="nobody")
_LIMITED = Failure(again=True, elsewhere=True, blame="limit")
_NO_QUOTA = Failure(again=False, elsewhere=True, blame="limit")
_ELSEWHERE = Failure(again=False, elsewhere=True, blame="nobody")
_OURS = Failure(again=False, elsewhere=False, blame="nobody")

_BY_STATUS = {
    # About our key, our account, our model name: the same request may be welcome at another provider.
    **dict.fromkeys((401, 402, 403, 404, 410), _TARGET),
    408: _TRANSIENT,
    # A lock was held, or it was too early (RFC 8470): the target is well.
    409: _BUSY,
    425: _BUSY,
    429: _LIMITED,
    # Not implemented, HTTP version not supported: these do not pass.
    501: _TARGET,
    505: _TARGET,
}

_BY_CODE = {
    # Nothing was sent.
    "upstream_unreachable": _TRANSIENT,
    "upstream_connect_timeout": _TRANSIENT,
    # Sent, and no word of it reached the caller.
    "upstream_disconnected": _TRANSIENT,
    "upstream_truncated": _TRANSIENT,
    # Whatever answers there does not speak the protocol: asking again brings the same, and may cost again.
    "upstream_malformed": _TARGET,
    # Nothing wrong with the provider: this process cannot call it.
    "unknown_provider": _ELSEWHERE,
    "provider_key_missing": _ELSEWHERE,
    # Errors inside an answer that began with 200: OpenAI's and Anthropic's names for 429, 5xx and 529.
    "rate_limit_exceeded": _LIMITED,
    "rate_limit_error": _LIMITED,
    "overloaded_error": _TRANSIENT,
    "server_error": _TRANSIENT,
    "api_error": _TRANSIENT,
    "timeout_error": _TRANSIENT,
    "internal_error": _TRANSIENT,
    "upstream_stream_error": _TRANSIENT,
}
_OUT_OF_QUOTA = frozenset({"insufficient_quota", "billing_hard_limit_reached"})
_TOO_LONG = frozenset({"context_length_exceeded"})
_FIRST_REDIRECT = 300
_FIRST_ERROR = 400
_FIRST_SERVER_ERROR = 500
_MILLISECONDS = 1000.0


def classify(result: AttemptResult, policy: RetryPolicy) -> Failure:
    """Return what follows from a failed attempt.

    | what happened | same target | fallback | counts against the target |
    |---|---|---|---|
    | no connection, connection lost before the caller had a byte | yes | yes | yes |
    | 408, 5xx (500, 502, 503, 504, 529, ...) | yes | yes | yes |
    | no answer in time | only with `retry_timeouts` | yes | yes |
    | 429 | yes, where its Retry-After is short | yes | no: passed over until its Retry-After |
    | 429 that says the quota is used up | no | yes | no: passed over |
    | 409, 425 | yes | yes | no |
    | 401, 402, 403, 404, 410, 501, 505, 3xx, no HTTP or no JSON | no | yes | yes |
    | 400, 413, 422 and every other 4xx | no | no | no: it answered |
    | 400 `context_length_exceeded` | no | only with `fallback_on_context_length` | no |

    `x-should-retry: true` allows, and `false` forbids, the same target (as OpenAI's and Anthropic's clients have it);
    a fallback is another target, so it is tried regardless.

    A prompt too long for the model is final by default: with it, which model answers would depend on how much a user
    wrote, and the two arms of a rollout would be compared on different requests. A refusal by a content filter is
    final always: it must not be shopped around.
    """
    status = result.status
    if status >= _FIRST_ERROR:
        failure = _of_status(result, policy)
    elif status >= _FIRST_REDIRECT:
        failure = _TARGET
    elif result.code == "upstream_timeout":
        failure = Failure(again=policy.retry_timeouts, elsewhere=True, blame="target")
    else:
        failure = _BY_CODE.get(result.code, _OURS)
    if result.should_retry is not None and failure is not _OURS:
        failure = failure._replace(again=result.should_retry)
    return failure


def _of_status(result: AttemptResult, policy: RetryPolicy) -> Failure:
    status, code = result.status, result.code
    if code in _TOO_LONG:
        return Failure(again=False, elsewhere=policy.fallback_on_context_length, blame="request")
    if code in _OUT_OF_QUOTA:
        return _NO_QUOTA
    known = _BY_STATUS.get(status)
    if known is not None:
        return known
    return _TRANSIENT if status >= _FIRST_SERVER_ERROR else _REQUEST


def retry_after_seconds(headers: Sequence[tuple[bytes, bytes]], *, now_epoch: float) -> float | None:
    """Return how long an upstream asks to wait; `None` where it does not say, or says nonsense. Names in lower case.

    `retry-after-ms` (OpenAI, Azure) is finer and goes before `retry-after`, which is seconds or a date (RFC 9110,
    section 10.2.3); `now_epoch` is the wall clock, for the latter. A moment in the past is no wait.
    """
    plain: float | None = None
    for name, value in headers:
        if name == b"retry-after-ms":
            exact = _number(value)
            if exact is not None:
                return exact / _MILLISECONDS
        elif name == b"retry-after":
            plain = _number(value)
            if plain is None:
                plain = _until(value, now_epoch)
    return plain


def should_retry(headers: Sequence[tuple[bytes, bytes]]) -> bool | None:
    """Return what `x-should-retry` says; `None` where it says nothing. Names in lower case."""
    for name, value in headers:
        if name == b"x-should-retry":
            return {b"true": True, b"false": False}.get(value.strip().lower())
    return None


def _number(value: bytes) -> float | None:
    try:
        number = float(value)
    except ValueError:
        return None
    return max(0.0, number) if math.isfinite(number) else None


def _until(value: bytes, now_epoch: float) -> float | None:
    try:
        return max(0.0, parsedate_to_datetime(value.decode("latin-1")).timestamp() - now_epoch)
    except (ValueError, OverflowError, OSError):
        return None
