"""Why a call through a provider's own client failed, in the gateway's words. Pure: reads errors' public fields."""

from __future__ import annotations

from typing import NamedTuple

from trimtab.core.errors import TrimtabError

__all__ = ["Failure", "failure_of"]

_CLIENT_ERROR = 400
_BY_CLASS = {
    "APITimeoutError": "upstream_timeout",
    "APIConnectionError": "upstream_unreachable",
    "RemoteProtocolError": "upstream_truncated",
    "ReadError": "upstream_truncated",
    "ReadTimeout": "upstream_timeout",
}
"""By class name along the inheritance: the clients' own errors, and those of the HTTP library below their streams."""


class Failure(NamedTuple):
    """What the journal records about a failed call."""

    error_code: str
    http_status: int = 0
    aborted: bool = False
    """The caller went away: not the model's fault."""


def failure_of(error: BaseException) -> Failure:
    """Return what to record for an exception that `openai`, `anthropic` or Trimtab raised."""
    if not isinstance(error, Exception):  # cancelled task, closed generator, keyboard interrupt
        return Failure("caller_gone", aborted=True)
    if isinstance(error, TrimtabError):
        return Failure(error.code, error.http_status)
    status = getattr(error, "status_code", None)
    if isinstance(status, int) and status >= _CLIENT_ERROR:
        return Failure(_provider_code(error) or f"upstream_status_{status}", status)
    named = (_BY_CLASS.get(kind.__name__) for kind in type(error).__mro__)
    return Failure(next(filter(None, named), "") or _provider_code(error) or f"client_{type(error).__name__}")


def _provider_code(error: Exception) -> str:
    """The provider's own code: `openai` has it on the exception, `anthropic` in the body."""
    code = getattr(error, "code", None)
    if isinstance(code, str) and code:
        return code
    body = getattr(error, "body", None)
    detail = body.get("error") if isinstance(body, dict) else None
    kind = detail.get("type") if isinstance(detail, dict) else None
    return kind if isinstance(kind, str) else ""
