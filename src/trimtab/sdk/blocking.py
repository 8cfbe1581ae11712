"""Managed calls for code that does not await: one event loop in a thread of its own, shared by all callers."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import queue
import threading
from typing import TYPE_CHECKING, Any

from trimtab.sdk.closed import closed

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    from trimtab.sdk.managed import AsyncCalls
    from trimtab.sdk.managed_answer import ChatAnswer, ChatChunk

__all__ = ["BlockingCalls"]

_CLOSE_SECONDS = 5.0
_AHEAD = 256
"""Chunks of a stream that are read ahead of whoever iterates."""
_ROOM_SECONDS = 0.005
_END = object()


class BlockingCalls:
    """Runs `AsyncCalls` in the background. Thread-safe."""

    def __init__(self, make: Callable[[], AsyncCalls]) -> None:
        self._loop = _new_loop()
        self._submitted: dict[concurrent.futures.Future[Any], Coroutine[Any, Any, Any]] = {}
        """What somebody waits for."""
        self._ended = False
        """Whether the loop runs nothing any more."""
        self._thread = threading.Thread(target=self._run, name="trimtab-calls", daemon=True)
        self._thread.start()
        self._calls = self._wait(self._made(make))

    def chat(self, feature: str, **arguments: Any) -> ChatAnswer:  # noqa: ANN401 - those of `AsyncCalls.chat`
        """Return the answer; see `AsyncCalls.chat`."""
        answer: ChatAnswer = self._wait(self._calls.chat(feature, **arguments))
        return answer

    def stream(self, feature: str, **arguments: Any) -> Iterator[ChatChunk]:  # noqa: ANN401 - those of `AsyncCalls.stream`
        """Yield the chunks; see `AsyncCalls.stream`."""
        said: queue.SimpleQueue[Any] = queue.SimpleQueue()
        room = threading.Semaphore(_AHEAD)

        async def read() -> None:
            chunks = self._calls.stream(feature, **arguments)
            async with contextlib.aclosing(chunks) as opened:
                async for chunk in opened:
                    while not room.acquire(blocking=False):  # noqa: ASYNC110 - the room is made in another thread
                        await asyncio.sleep(_ROOM_SECONDS)
                    said.put(chunk)

        reading = self._submit(read())
        reading.add_done_callback(lambda _: said.put(_END))
        try:
            while (chunk := said.get()) is not _END:
                room.release()
                yield chunk
            reading.result()
        except concurrent.futures.CancelledError as cancelled:
            raise closed() from cancelled
        finally:
            reading.cancel()

    def close(self) -> None:
        """Drop the connections and stop the loop; calls under way fail."""
        if self._thread.is_alive():
            with contextlib.suppress(TimeoutError):
                self._submit(self._calls.aclose()).result(_CLOSE_SECONDS)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(_CLOSE_SECONDS)

    @staticmethod
    async def _made(make: Callable[[], AsyncCalls]) -> AsyncCalls:
        return make()

    def _wait(self, work: Coroutine[Any, Any, Any]) -> Any:  # noqa: ANN401 - whatever the work returns
        waiting = self._submit(work)
        try:
            return waiting.result()
        except concurrent.futures.CancelledError as cancelled:
            raise closed() from cancelled
        except BaseException:
            waiting.cancel()  # an interrupt: nobody waits any more
            raise

    def _submit(self, work: Coroutine[Any, Any, Any]) -> concurrent.futures.Future[Any]:
        try:
            submitted = asyncio.run_coroutine_threadsafe(work, self._loop)
        except RuntimeError as error:
            work.close()
            raise closed() from error
        self._submitted[submitted] = work
        submitted.add_done_callback(self._forget)
        if self._ended:  # looked at after it was put there: no lock, for a signal may close while this thread is here
            self._cancel_unrun()
        return submitted

    def _forget(self, ended: concurrent.futures.Future[Any]) -> None:
        self._submitted.pop(ended, None)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
            self._cancel_all()
        finally:
            self._loop.close()
            self._ended = True
            self._cancel_unrun()

    def _cancel_all(self) -> None:
        """Have whoever still waits hear that it does so for nothing."""
        self._loop.run_until_complete(asyncio.sleep(0))  # what was handed over last becomes a task
        left = asyncio.all_tasks(self._loop)
        for task in left:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))

    def _cancel_unrun(self) -> None:
        """Do the same for what was handed over after that, which is not even a task."""
        for submitted, work in self._submitted.copy().items():
            if submitted.cancel():
                work.close()


def _new_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()
