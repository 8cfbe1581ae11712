"""`openai.OpenAI` and `AsyncOpenAI`, with features as models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, cast

from trimtab.sdk.openai_answer import ChatStreamReader, adapt_chat_completion, read_chat_completion
from trimtab.sdk.openai_request import merge_chat_request, openai_unit
from trimtab.sdk.shell import async_create, refuse_feature, sync_create
from trimtab.sdk.twin import twin
from trimtab.sdk.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Callable

    from trimtab.sdk.call import FeatureCalls

__all__ = ["OPENAI_WIRE", "wrap_openai_client"]

_Client = TypeVar("_Client")

OPENAI_WIRE = Wire(
    unit=openai_unit,
    merge=merge_chat_request,
    read=read_chat_completion,
    adapt=adapt_chat_completion,
    reader=ChatStreamReader,
)


def wrap_openai_client(client: _Client, open_calls: Callable[[Callable[..., Any]], FeatureCalls]) -> _Client:
    """Return a client of the same class whose `chat.completions.create` (and `.stream`) serve features.

    `open_calls` makes the bookkeeping for one bound `create`. The given client stays as it is; `with_options` and
    `copy` of the new one are wrapped too.
    """
    wrapped = cast("Any", twin(client))
    completions = wrapped.chat.completions
    create = completions.create
    calls = open_calls(create)
    shell = async_create if calls.is_async else sync_create
    completions.create = shell(create, calls)
    completions.parse = refuse_feature(
        completions.parse, calls, name="chat.completions.parse", instead="`create`: the release holds the schema"
    )

    def wrapped_copy(**options: Any) -> Any:  # noqa: ANN401 - a client of the same class
        return wrap_openai_client(cast("Any", client).copy(**options), open_calls)

    wrapped.copy = wrapped.with_options = wrapped_copy
    return cast("_Client", wrapped)
