from __future__ import annotations

import asyncio

import anthropic
import httpx2
import openai
import pytest

from trimtab.core.errors import InputError
from trimtab.sdk.failure import Failure, failure_of

REQUEST = httpx2.Request("POST", "http://127.0.0.1/v1")
OPENAI_BODY = {"code": "rate_limit_exceeded", "type": "requests", "message": "slow down"}
ANTHROPIC_BODY = {"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}


def response(status: int) -> httpx2.Response:
    return httpx2.Response(status, request=REQUEST)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (
            openai.RateLimitError("slow", response=response(429), body=OPENAI_BODY),
            Failure("rate_limit_exceeded", 429),
        ),
        (openai.InternalServerError("no", response=response(500), body=None), Failure("upstream_status_500", 500)),
        (
            anthropic.InternalServerError("busy", response=response(529), body=ANTHROPIC_BODY),
            Failure("overloaded_error", 529),
        ),
        (openai.APITimeoutError(request=REQUEST), Failure("upstream_timeout")),
        (anthropic.APIConnectionError(request=REQUEST), Failure("upstream_unreachable")),
        (httpx2.RemoteProtocolError("cut"), Failure("upstream_truncated")),
        (InputError("pinned_field", "no"), Failure("pinned_field", 400)),
        (asyncio.CancelledError(), Failure("caller_gone", aborted=True)),
        (GeneratorExit(), Failure("caller_gone", aborted=True)),
        (KeyError("x"), Failure("client_KeyError")),
    ],
)
def test_a_failure_is_told_in_the_gateways_words(error: BaseException, expected: Failure) -> None:
    assert failure_of(error) == expected
