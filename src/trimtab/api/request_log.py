"""A line of the log for each request that changes something or fails, and an id for every request."""

from __future__ import annotations

import logging
import re
import time
from typing import TYPE_CHECKING

from trimtab.core.ids import new_id

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["RequestLog"]

_log = logging.getLogger("trimtab.api")
_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_TRACE = re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}.*")
_SERVER_ERROR = 500
_READS = frozenset({"GET", "HEAD", "OPTIONS"})


class RequestLog:
    """ASGI middleware. Tells path and status, never the query or the body; answers with `x-request-id`."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        given = headers.get(b"x-request-id", b"")
        request = given if _ID.fullmatch(given) else new_id("req", time.time_ns() // 1_000_000).encode()
        began, status = time.monotonic(), _SERVER_ERROR

        async def tell(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", request)]
            await send(message)

        try:
            await self._app(scope, receive, tell)
        finally:
            if scope["method"] not in _READS or status >= _SERVER_ERROR:
                trace = _TRACE.fullmatch(headers.get(b"traceparent", b""))
                _log.log(
                    logging.ERROR if status >= _SERVER_ERROR else logging.INFO,
                    "%s %s %d",
                    scope["method"],
                    scope["path"],
                    status,
                    extra={
                        "request": request.decode(),
                        "trace": trace[1].decode() if trace else "",
                        "method": scope["method"],
                        "path": scope["path"],
                        "status": status,
                        "seconds": round(time.monotonic() - began, 4),
                    },
                )
