"""Where a managed call's answer goes: to whoever awaits it in this process."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from trimtab.core.errors import TrimtabError, UpstreamError
from trimtab.providers.http import Request
from trimtab.sdk.managed_answer import ChatChunk, error_of, events_in

if TYPE_CHECKING:
    from collections.abc import Callable

    from trimtab.sdk.managed_answer import Answered

__all__ = ["StreamPort", "WholePort"]

_FIRST_ERROR_STATUS = 400
_HIGH, _LOW = 256, 64
"""Chunks that wait unread before the upstream is paused, and when it is resumed."""


class _Port:
    """A `CallerPort` without a wire: no headers came with the call and none are seen of the answer."""

    def __init__(self) -> None:
        self.request = Request(b"POST", b"", {})
        self.on_abort: Callable[[], None] | None = None
        self.on_pause: Callable[[], None] | None = None
        self.on_resume: Callable[[], None] | None = None

    def abort(self) -> None:
        """Give the call up: nobody waits for it any more."""
        on_abort = self.on_abort
        self._forget()
        if on_abort is not None:
            on_abort()

    def _forget(self) -> None:
        self.on_abort = self.on_pause = self.on_resume = None


class WholePort(_Port):
    """Waits for a complete answer."""

    def __init__(self, answered: asyncio.Future[Answered]) -> None:
        super().__init__()
        self._answered = answered

    def respond(self, status: int, body: bytes, headers: bytes = b"") -> None:  # noqa: ARG002 - the port's
        self._forget()
        if self._answered.done():
            return
        if status < _FIRST_ERROR_STATUS:
            self._answered.set_result((body, None))
        else:
            self._answered.set_exception(error_of(status, body))

    def start(self, status: int, headers: bytes) -> None:
        """Never called: only a stream begins."""

    def write(self, data: bytes) -> None:
        """Never called: only a stream goes on."""

    def end(self) -> None:
        """Never called: only a stream ends."""

    def cut(self) -> None:
        """Never called: only a stream breaks off."""


class StreamPort(_Port):
    """Keeps the chunks of a stream until they are asked for."""

    def __init__(self) -> None:
        super().__init__()
        self._said: deque[ChatChunk | TrimtabError] = deque()
        self._news = asyncio.Event()
        self._over = False
        self._paused = False

    async def next(self) -> ChatChunk | None:
        """Return the next chunk, `None` after the last; raises what the call failed with."""
        while not self._said and not self._over:
            self._news.clear()
            await self._news.wait()
        if self._paused and len(self._said) < _LOW and self.on_resume is not None:
            self._paused = False
            self.on_resume()
        if not self._said:
            return None
        said = self._said.popleft()
        if isinstance(said, TrimtabError):
            raise said
        return said

    def respond(self, status: int, body: bytes, headers: bytes = b"") -> None:  # noqa: ARG002 - the port's
        self._finish(error_of(status, body))

    def start(self, status: int, headers: bytes) -> None:
        """The stream begins; its first chunk follows at once."""

    def write(self, data: bytes) -> None:
        self._said.extend(events_in(data))
        self._news.set()
        if len(self._said) > _HIGH and not self._paused and self.on_pause is not None:
            self._paused = True
            self.on_pause()

    def end(self) -> None:
        self._finish(None)

    def cut(self) -> None:
        told = self._said and isinstance(self._said[-1], TrimtabError)
        self._finish(None if told else UpstreamError("upstream_truncated", "the stream broke off"))

    def _finish(self, error: TrimtabError | None) -> None:
        self._forget()
        if error is not None:
            self._said.append(error)
        self._over = True
        self._news.set()
