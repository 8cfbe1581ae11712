"""The two ways of calling a provider, synchronous and not: the only place where they differ."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from trimtab.core.errors import InputError
from trimtab.sdk.recorded_stream import AsyncRecordedStream, RecordedStream

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from trimtab.sdk.call import FeatureCalls

__all__ = ["async_create", "refuse_feature", "sync_create"]


def sync_create(create: Callable[..., Any], calls: FeatureCalls) -> Callable[..., Any]:
    """Return `create` that serves features; other models pass through untouched."""

    @functools.wraps(create)
    def serve(*args: Any, **arguments: Any) -> Any:  # noqa: ANN401 - the client's own surface
        call = calls.begin(arguments)
        if call is None:
            return create(*args, **arguments)
        request = call.request()
        try:
            response = create(*args, **request)
        except BaseException as error:
            call.failed(error)
            raise
        return RecordedStream(response, call) if call.streams else call.answered(response)

    return serve


def async_create(create: Callable[..., Awaitable[Any]], calls: FeatureCalls) -> Callable[..., Awaitable[Any]]:
    """Return asynchronous `create` that serves features; other models pass through untouched."""

    @functools.wraps(create)
    async def serve(*args: Any, **arguments: Any) -> Any:  # noqa: ANN401 - the client's own surface
        call = calls.begin(arguments)
        if call is None:
            return await create(*args, **arguments)
        request = call.request()
        try:
            response = await create(*args, **request)
        except BaseException as error:
            call.failed(error)
            raise
        return AsyncRecordedStream(response, call) if call.streams else call.answered(response)

    return serve


def refuse_feature(method: Callable[..., Any], calls: FeatureCalls, *, name: str, instead: str) -> Callable[..., Any]:
    """Return `method` that works for models and says what to use instead for features."""

    @functools.wraps(method)
    def guarded(*args: Any, **arguments: Any) -> Any:  # noqa: ANN401 - the client's own surface
        model = arguments.get("model")
        if isinstance(model, str) and calls.serves(model):
            raise InputError(
                "unsupported_call",
                f"`{name}` cannot serve the feature `{model}`",
                param="model",
                hint=f"use {instead}",
            )
        return method(*args, **arguments)

    return guarded
