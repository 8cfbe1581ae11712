"""`anthropic.Anthropic` and `AsyncAnthropic`, with features as models."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, TypeVar, cast

from trimtab.core.errors import InputError
from trimtab.sdk.anthropic_answer import MessageStreamReader, adapt_message, read_message
from trimtab.sdk.anthropic_request import anthropic_unit, merge_messages_request
from trimtab.sdk.recorded_stream import AsyncRecordedStream, RecordedStream
from trimtab.sdk.shell import async_create, refuse_feature, sync_create
from trimtab.sdk.twin import twin
from trimtab.sdk.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from trimtab.sdk.call import FeatureCall, FeatureCalls

__all__ = ["ANTHROPIC_WIRE", "wrap_anthropic_client"]

_Client = TypeVar("_Client")

ANTHROPIC_WIRE = Wire(
    unit=anthropic_unit,
    merge=merge_messages_request,
    read=read_message,
    adapt=adapt_message,
    reader=MessageStreamReader,
)


def wrap_anthropic_client(client: _Client, open_calls: Callable[[Callable[..., Any]], FeatureCalls]) -> _Client:
    """Return a client of the same class whose `messages.create` and `messages.stream` serve features.

    `open_calls` makes the bookkeeping for one bound `create`. The given client stays as it is; `with_options` and
    `copy` of the new one are wrapped too.
    """
    wrapped = cast("Any", twin(client))
    messages = wrapped.messages
    create = messages.create
    calls = open_calls(create)
    shell = async_create if calls.is_async else sync_create
    messages.create = shell(create, calls)
    messages.stream = _serve_stream(messages.stream, calls)
    if hasattr(messages, "parse"):
        messages.parse = refuse_feature(
            messages.parse, calls, name="messages.parse", instead="`create`: the release holds the schema"
        )

    def wrapped_copy(**options: Any) -> Any:  # noqa: ANN401 - a client of the same class
        return wrap_anthropic_client(cast("Any", client).copy(**options), open_calls)

    wrapped.copy = wrapped.with_options = wrapped_copy
    return cast("_Client", wrapped)


def _serve_stream(stream: Callable[..., Any], calls: FeatureCalls) -> Callable[..., Any]:
    @functools.wraps(stream)
    def serve(*args: Any, **arguments: Any) -> Any:  # noqa: ANN401 - the client's own surface
        call = calls.begin(arguments, streams=True)
        if call is None:
            return stream(*args, **arguments)
        request = call.request()
        request.pop("stream", None)
        return _StreamManager(stream(*args, **request), call)

    return serve


class _StreamManager:
    """The client's own manager; the raw stream under what it yields is replaced by a recorded one.

    One class serves `with` and `async with`, as the manager inside has only one of the two.
    """

    def __init__(self, inner: Any, call: FeatureCall) -> None:  # noqa: ANN401 - a MessageStreamManager of either kind
        self._inner = inner
        self._call = call

    def __enter__(self) -> Any:  # noqa: ANN401 - anthropic's MessageStream
        try:
            stream = self._inner.__enter__()
        except BaseException as error:
            self._call.failed(error)
            raise
        stream._raw_stream = RecordedStream(_raw_stream(stream), self._call)  # noqa: SLF001 - see _raw_stream
        return self._stamped(stream)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._call.given_up()
        self._inner.__exit__(kind, error, trace)

    async def __aenter__(self) -> Any:  # noqa: ANN401 - anthropic's AsyncMessageStream
        try:
            stream = await self._inner.__aenter__()
        except BaseException as error:
            self._call.failed(error)
            raise
        stream._raw_stream = AsyncRecordedStream(_raw_stream(stream), self._call)  # noqa: SLF001 - see _raw_stream
        return self._stamped(stream)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._call.given_up()
        await self._inner.__aexit__(kind, error, trace)

    def _stamped(self, stream: Any) -> Any:  # noqa: ANN401 - anthropic's MessageStream of either kind
        stream.trimtab = self._call.served
        return stream


def _raw_stream(stream: Any) -> Any:  # noqa: ANN401 - anthropic's MessageStream of either kind
    """The stream of raw events under a message stream: there is no public way to it, so its absence is an error."""
    raw = getattr(stream, "_raw_stream", None)
    if raw is None:
        raise InputError(
            "unsupported_client",
            "this version of `anthropic` builds message streams in a way that Trimtab does not know",
            param="messages.stream",
            hint="use messages.create(stream=True)",
        )
    return raw
