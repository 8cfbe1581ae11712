"""What every route of the API does alike: read a body, answer in JSON, say what went wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from trimtab.core.errors import InputError, TrimtabError

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

__all__ = ["body_of", "handler", "json_answer"]

_encoder = msgspec.json.Encoder()
_T = TypeVar("_T")
_MAX_BODY_BYTES = 64 * 1024


def json_answer(value: Any, status: int = 200) -> Response:  # noqa: ANN401 - any JSON value
    """Return a value as JSON."""
    return Response(_encoder.encode(value), status_code=status, media_type="application/json")


def body_of(request_body: bytes, content_type: str, kind: type[_T]) -> _T:
    """Return what a write says; raises `InputError` for anything but JSON of this type."""
    if content_type.split(";", maxsplit=1)[0].strip() != "application/json":
        raise InputError("not_json", "the body must be application/json", param="content-type")
    try:
        return msgspec.json.decode(request_body or b"{}", type=kind)
    except msgspec.DecodeError as error:
        raise InputError("invalid_body", str(error), param="body") from error


async def _read(request: Request) -> bytes:
    """Return the body; raises `InputError` as soon as it is larger than any request needs."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > _MAX_BODY_BYTES:
            raise InputError("body_too_large", f"the body is larger than {_MAX_BODY_BYTES:,} bytes", param="body")
    return bytes(body)


def handler(answer: Callable[[Request, bytes], Response]) -> Callable[[Request], Any]:
    """Return an endpoint that answers in a thread, and says in one shape what went wrong."""

    async def endpoint(request: Request) -> Response:
        try:
            return await run_in_threadpool(answer, request, await _read(request))
        except TrimtabError as error:
            return json_answer(error.as_json(), error.http_status)

    return endpoint
