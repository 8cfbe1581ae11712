"""What the control plane tells data planes of other machines, and hears from them: a door of its own.

Every request needs a key of a data plane, on loopback too, but for the two probes that tell nothing. Nothing of the
API for people or of the console is behind this door, so it may be opened to a network.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from trimtab.core.errors import AuthenticationError, ConflictError, InputError, NotFoundError, TrimtabError
from trimtab.core.ids import check_name
from trimtab.serving.machine_report import MachineReport
from trimtab.serving.shipment import Shipment

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from starlette.requests import Request
    from starlette.routing import BaseRoute

    from trimtab.control.door import Door
    from trimtab.control.feed import SnapshotFeed
    from trimtab.control.inbox import Inbox
    from trimtab.control.machines import MachineBoard
    from trimtab.rollout.ports import Published

__all__ = ["data_plane_routes"]

HEARTBEAT_SECONDS = 2.0
"""A stream that says nothing for so long says that it is alive, and which revision is in force."""
_MAX_BODY_BYTES = 32 * 1024 * 1024
_MAX_REVISION = (1 << 63) - 1
_T = TypeVar("_T")


def data_plane_routes(door: Door, feed: SnapshotFeed, inbox: Inbox, board: MachineBoard) -> list[BaseRoute]:
    """Return the routes of the door for data planes."""
    return _DataPlanes(door, feed, inbox, board).routes()


def _json(value: Any, status: int = 200) -> Response:  # noqa: ANN401 - any JSON value
    return Response(msgspec.json.encode(value), status_code=status, media_type="application/json")


class _DataPlanes:
    def __init__(self, door: Door, feed: SnapshotFeed, inbox: Inbox, board: MachineBoard) -> None:
        self._door = door
        self._feed = feed
        self._inbox = inbox
        self._board = board
        self._news = _News(feed)

    def routes(self) -> list[BaseRoute]:
        return [
            Route("/healthz", self._health),
            Route("/leader", self._leads),
            Route("/api/v1/snapshot", self._guarded(self._snapshot)),
            Route("/api/v1/snapshot/stream", self._guarded(self._stream)),
            Route("/api/v1/journals", self._guarded(self._journals), methods=["POST"]),
            Route("/api/v1/machines", self._guarded(self._machine), methods=["POST"]),
        ]

    def _guarded(self, answer: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            try:
                await self._admit(request)
                return await answer(request)
            except TrimtabError as error:
                headers = {"www-authenticate": "Bearer"} if isinstance(error, AuthenticationError) else {}
                response = _json(error.as_json(), error.http_status)
                response.headers.update(headers)
                return response
            except ClientDisconnect:
                return Response(status_code=499)

        return endpoint

    async def _admit(self, request: Request) -> str:
        scheme, _, secret = request.headers.get("authorization", "").partition(" ")
        return await run_in_threadpool(self._door.admit, secret.strip() if scheme.lower() == "bearer" else "")

    async def _health(self, _request: Request) -> Response:
        return _json({"status": "ok"})

    async def _leads(self, _request: Request) -> Response:
        """For load balancers: 200 on the node that drives rollouts and takes journals."""
        return _json({"leading": self._inbox.is_open}, 200 if self._inbox.is_open else 503)

    async def _snapshot(self, request: Request) -> Response:
        published = self._feed.latest(_environment(request))
        if published is None:
            raise NotFoundError(
                "no_snapshot",
                "nothing is published there, as far as this node knows",
                param="environment",
                hint="trimtab environment set FEATURE RELEASE",
            )
        etag = f'"{published.revision}"'
        if request.headers.get("if-none-match") == etag:
            return Response(status_code=304, headers={"etag": etag})
        return Response(published.body, media_type="application/json", headers={"etag": etag})

    async def _stream(self, request: Request) -> Response:
        environment, after = _environment(request), _revision(request)
        return StreamingResponse(
            self._events(request, environment, after),
            media_type="text/event-stream",
            headers={"cache-control": "no-store", "x-accel-buffering": "no"},
        )

    async def _events(self, request: Request, environment: str, sent: int) -> AsyncIterator[bytes]:
        """Yield the newest snapshot whenever it is not the one sent last: who is slow misses those in between."""
        yield b"retry: 500\n\n"
        while True:
            changed = self._news.changed()  # before looking, so that nothing falls in between
            if self._feed.ended:
                return
            published = self._feed.latest(environment)
            if published is not None and published.revision != sent:
                sent = published.revision
                yield _event(published)
                continue
            try:
                await asyncio.wait_for(changed.wait(), HEARTBEAT_SECONDS)
            except TimeoutError:
                try:
                    await self._admit(request)  # a key that was revoked meanwhile hears no more
                except TrimtabError:
                    return
                yield b"event: alive\ndata: %d\n\n" % (0 if published is None else published.revision)

    async def _journals(self, request: Request) -> Response:
        shipment = _decoded(await _body(request), Shipment, msgspec.msgpack.decode)
        return await run_in_threadpool(self._take, shipment)

    def _take(self, shipment: Shipment) -> Response:
        try:
            receipt = self._inbox.put(shipment)
        except ConflictError as error:
            raise ConflictError(error.code, error.message, param=self._door.leader(), hint=error.hint) from error
        return _json(msgspec.structs.replace(receipt, judged=self._door.judged(shipment.ask)))

    async def _machine(self, request: Request) -> Response:
        report = _decoded(await _body(request), MachineReport, msgspec.json.decode)
        check_name(report.machine, what="machine")
        self._board.note(report)
        return Response(status_code=204)


class _News:
    """Wakes every stream when the feed has something new. One event loop; the feed's thread calls into it."""

    def __init__(self, feed: SnapshotFeed) -> None:
        self._feed = feed
        self._loop: asyncio.AbstractEventLoop | None = None
        self._event = asyncio.Event()

    def changed(self) -> asyncio.Event:
        """Return what will be set at the next change."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._feed.on_change(self._tell)
        return self._event

    def _tell(self) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        told, self._event = self._event, asyncio.Event()
        told.set()


def _event(published: Published) -> bytes:
    return b"id: %d\nevent: snapshot\ndata: %b\n\n" % (published.revision, published.body)


def _environment(request: Request) -> str:
    return check_name(request.query_params.get("environment", ""), what="environment")


def _revision(request: Request) -> int:
    """Return the revision that a stream goes on from: what an interrupted one sent last, or what the caller has."""
    text = request.headers.get("last-event-id") or request.query_params.get("after", "0")
    if not (text.isascii() and text.isdigit() and int(text[:20]) <= _MAX_REVISION):
        raise InputError("invalid_revision", "this is no revision", param="after", hint="a whole number")
    return int(text)


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > _MAX_BODY_BYTES:
            raise InputError("body_too_large", f"the body is larger than {_MAX_BODY_BYTES:,} bytes", param="body")
    return bytes(body)


def _decoded(body: bytes, kind: type[_T], decode: Callable[..., _T]) -> _T:
    try:
        return decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InputError("invalid_body", f"this is no {kind.__name__}: {error}", param="body") from error
