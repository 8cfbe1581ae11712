"""From a release and a caller to the bytes that go upstream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import msgspec

from trimtab.gateway.upstream import AnswerReader
from trimtab.providers.openai import build_embeddings_request, build_request, wants_usage

if TYPE_CHECKING:
    from trimtab.gateway.caller import Caller
    from trimtab.gateway.upstream import AnswerListener
    from trimtab.gateway.upstreams import Upstreams
    from trimtab.providers.http import UpstreamClient
    from trimtab.serving.release import PreparedRelease

__all__ = ["Operation", "Prepared", "prepare", "send"]

Operation = Literal["chat", "embeddings"]

_PATHS = {"chat": b"/chat/completions", "embeddings": b"/embeddings"}
_encode = msgspec.json.Encoder().encode


class Prepared(NamedTuple):
    """A request ready to be sent."""

    operation: Operation
    release: PreparedRelease
    messages: list[dict[str, Any]]
    """The release's messages and the caller's, as they are sent."""
    payload: bytes
    client: UpstreamClient
    headers: bytes
    stream: bool
    keep_usage: bool


def prepare(
    operation: Operation, release: PreparedRelease, caller: Caller, upstreams: Upstreams, *, forwarded: bytes
) -> Prepared:
    """Render the prompt and build the request; `forwarded` are the caller's header lines that go along.

    Raises `InputError` for what the caller got wrong, `UpstreamError` where the provider cannot be called.
    """
    compiled = release.compiled
    if operation == "chat":
        request = build_request(compiled, release.render(caller.variables), caller.body)
        keep_usage = caller.stream and wants_usage(caller.body)
    else:
        request = build_embeddings_request(compiled, caller.body)
        keep_usage = False
    payload = _encode(request)
    client, headers = upstreams.find(compiled.model.provider)
    stream = operation == "chat" and caller.stream
    messages = request.get("messages") or []
    return Prepared(operation, release, messages, payload, client, headers + forwarded, stream, keep_usage)


def send(prepared: Prepared, listener: AnswerListener, *, limit_bytes: int) -> AnswerReader:
    """Send a prepared request; `listener` hears the answer. The reader holds the call."""
    adapter = prepared.release.compiled.adapter
    reader = AnswerReader(
        listener,
        limit_bytes=limit_bytes,
        stream=prepared.stream,
        keep_usage=prepared.keep_usage,
        steps=adapter.output if adapter else (),
        embeddings=prepared.operation == "embeddings",
    )
    path = _PATHS[prepared.operation]
    reader.call = prepared.client.send(b"POST", path, reader, headers=prepared.headers, body=prepared.payload)
    return reader
