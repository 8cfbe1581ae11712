"""Errors in Anthropic's shape, for callers that speak it and from upstreams that do."""

from __future__ import annotations

from typing import Literal

import msgspec

from trimtab.providers.anthropic.wire import UNREADABLE

__all__ = ["error_body", "read_error", "stream_error"]

_TYPES = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_FIRST_SERVER_STATUS = 500
_NO_THREADS = ("cannot_carry", "thread")


class _Detail(msgspec.Struct, frozen=True, gc=False):
    type: str
    message: str = ""


class _ErrorBody(msgspec.Struct, frozen=True, gc=False):
    type: Literal["error"]
    error: _Detail


_decoder = msgspec.json.Decoder(_ErrorBody)


def error_body(*, kind: str, message: str, param: str | None, code: str, status: int) -> bytes:
    """Return `{"type": "error", "error": {"type", "message", ...}}`.

    The error's type follows from the HTTP status as Anthropic documents it (other client errors are
    `invalid_request_error`, other server errors `api_error`). What Anthropic has no field for stands beside it: `kind`
    (`core.errors`), `code` and `param`. Where `thread` is what cannot be carried, `details` say so as Anthropic does:
    its clients' tool loops then go on without one.
    """
    error_type = _TYPES.get(status) or ("api_error" if status >= _FIRST_SERVER_STATUS else "invalid_request_error")
    error: dict[str, object] = {"type": error_type, "message": message, "code": code, "param": param, "kind": kind}
    if (code, param) == _NO_THREADS:
        error["details"] = {"error_code": "thread_unsupported_request", "unsupported": ["thread"]}
    return msgspec.json.encode({"type": "error", "error": error})


def stream_error(*, kind: str, message: str, param: str | None, code: str, status: int) -> bytes:
    """Return the event that ends a begun stream: the rest will not come. Arguments as of `error_body`."""
    return b"event: error\ndata: %b\n\n" % error_body(kind=kind, message=message, param=param, code=code, status=status)


def read_error(body: bytes, status: int) -> tuple[str, str] | None:
    """Return code and message of an upstream's error, `None` where `body` has another shape.

    The code is Anthropic's error type (`overloaded_error`), `upstream_status_<status>` where it is empty.
    """
    try:
        error = _decoder.decode(body).error
    except UNREADABLE:
        return None
    return error.type or f"upstream_status_{status}", error.message
