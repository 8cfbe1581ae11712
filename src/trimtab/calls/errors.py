"""Errors in the shape and with the statuses of the format that a caller speaks: its client raises what users expect."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from trimtab.core.errors import AuthenticationError, InputError, NotFoundError, TrimtabError
from trimtab.providers import anthropic, responses

if TYPE_CHECKING:
    from trimtab.calls.formats import Format
    from trimtab.providers.http import Refusal

__all__ = ["error_body", "internal_error", "refusal_body", "status_of", "stream_error"]

_STATUS_BY_CODE = {
    "upstream_timeout": 504,
    "upstream_connect_timeout": 504,
    "upstream_circuit_open": 503,
    "gateway_exhausted": 503,
    "provider_key_missing": 500,
    "unknown_provider": 500,
    "reserved_parameter": 500,
}
_SERVER_STATUS = 500


def status_of(error: TrimtabError) -> int:
    """Return the HTTP status of an error."""
    return _STATUS_BY_CODE.get(error.code, error.http_status)


def error_body(error: TrimtabError, format: Format = "chat") -> bytes:  # noqa: A002 - the field's word
    """Return the error in the caller's shape; the hint is part of the message, as OpenAI's are.

    OpenAI's: `{"error": {"message", "type", "param", "code"}}`. Anthropic's: see `providers.anthropic.error_body`.
    """
    message, kind = _message(error), _kind(error)
    if format == "messages":
        status = status_of(error)
        return anthropic.error_body(kind=kind, message=message, param=error.param, code=error.code, status=status)
    return _body(message, kind, error.param, error.code)


def stream_error(error: TrimtabError, format: Format) -> bytes:  # noqa: A002 - the field's word
    """Return the event that tells the caller of a begun stream that the rest will not come."""
    if format == "chat":
        return b"data: " + error_body(error) + b"\n\n"
    message, kind = _message(error), _kind(error)
    if format == "responses":
        return responses.stream_error(kind=kind, message=message, param=error.param, code=error.code)
    status = status_of(error)
    return anthropic.stream_error(kind=kind, message=message, param=error.param, code=error.code, status=status)


def refusal_body(refusal: Refusal, format: Format = "chat") -> bytes:  # noqa: A002 - the field's word
    """Return the body for a request that was refused before it was read."""
    kind = "invalid_request_error"
    if format == "messages":
        return anthropic.error_body(
            kind=kind, message=refusal.message, param=None, code=refusal.code, status=refusal.status
        )
    return _body(refusal.message, kind, None, refusal.code)


def internal_error(error: Exception) -> TrimtabError:
    """Return what the caller is told about a defect of ours: its kind, nothing of its content."""
    return TrimtabError(
        "internal_error",
        f"Trimtab failed on this request ({type(error).__name__})",
        hint="the log of the process has the trace; please report it",
    )


def _body(message: str, kind: str, param: str | None, code: str) -> bytes:
    return msgspec.json.encode({"error": {"message": message, "type": kind, "param": param, "code": code}})


def _message(error: TrimtabError) -> str:
    return f"{error.message}. {_sentence(error.hint)}" if error.hint else error.message


def _kind(error: TrimtabError) -> str:
    if isinstance(error, NotFoundError | AuthenticationError | InputError) and status_of(error) < _SERVER_STATUS:
        return "invalid_request_error"
    return error.kind


def _sentence(hint: str) -> str:
    return hint[:1].upper() + hint[1:] + ("" if hint.endswith((".", "?", "!")) else ".")
