"""A provider's stream, handed through chunk by chunk and recorded when it ends, fails or is given up."""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol, Self

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from trimtab.sdk.stamp import Served

__all__ = ["AsyncRecordedStream", "RecordedStream", "StreamObserver"]


class StreamObserver(Protocol):
    """Who is told what a stream does. Every call after the first of `ended`, `failed` and `given_up` is ignored."""

    @property
    def served(self) -> Served:
        """What the stream is stamped with."""
        ...

    def take(self, chunk: Any) -> Sequence[Any]:  # noqa: ANN401 - a chunk of any provider
        """Take a chunk; return what the caller is to see now."""
        ...

    def ended(self) -> None:
        """The provider said all it had to say."""
        ...

    def failed(self, error: BaseException) -> None:
        """Reading the stream raised."""
        ...

    def given_up(self) -> None:
        """The caller went away."""
        ...


class _Stream:
    """What both kinds of stream share. Looks like the provider's own class to `isinstance` and attribute access."""

    def __init__(self, inner: Any, observer: StreamObserver) -> None:  # noqa: ANN401 - a stream of any provider
        self._inner = inner
        self._observer = observer
        self._ready: deque[Any] = deque()

    @property
    def trimtab(self) -> Served:
        """Which release served this stream, and the id of its generation."""
        return self._observer.served

    @property  # type: ignore[misc]  # isinstance() believes it
    def __class__(self) -> type:
        return type(self._inner)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the provider's stream has
        return getattr(self._inner, name)

    def __del__(self) -> None:
        # A stream dropped without `close` is a caller that went away. Nothing may escape a finaliser.
        with suppress(Exception):
            self._observer.given_up()


class RecordedStream(_Stream):
    """A synchronous stream."""

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:  # noqa: ANN401 - a chunk of any provider
        while not self._ready:
            try:
                chunk = next(self._inner)
            except StopIteration:
                self._observer.ended()
                raise
            except BaseException as error:
                self._observer.failed(error)
                raise
            self._ready.extend(self._observer.take(chunk))
        return self._ready.popleft()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the response; an answer that was not complete is recorded as aborted."""
        self._observer.given_up()
        self._inner.close()


class AsyncRecordedStream(_Stream):
    """An asynchronous stream."""

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:  # noqa: ANN401 - a chunk of any provider
        while not self._ready:
            try:
                chunk = await anext(self._inner)
            except StopAsyncIteration:
                self._observer.ended()
                raise
            except BaseException as error:
                self._observer.failed(error)
                raise
            self._ready.extend(self._observer.take(chunk))
        return self._ready.popleft()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the response; an answer that was not complete is recorded as aborted."""
        self._observer.given_up()
        await self._inner.close()

    async def aclose(self) -> None:
        """Close the response. Alias of `close`."""
        await self.close()
