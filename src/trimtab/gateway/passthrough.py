"""Which headers cross the gateway, in either direction."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["forwarded_headers", "is_event_stream", "passed_headers"]

_PASSED = frozenset(
    {
        b"cache-control",
        b"content-type",
        b"retry-after",
        b"retry-after-ms",
        b"x-request-id",
        b"x-should-retry",
    }
)
_PASSED_PREFIXES = (b"openai-", b"x-ratelimit-")
_FORWARDED = (b"traceparent", b"tracestate", b"x-client-request-id", b"openai-beta")


def passed_headers(headers: list[tuple[bytes, bytes]]) -> bytes:
    """Return the upstream's header lines that the caller gets."""
    return b"".join(
        [b"%s: %s\r\n" % pair for pair in headers if pair[0] in _PASSED or pair[0].startswith(_PASSED_PREFIXES)]
    )


def forwarded_headers(headers: Mapping[bytes, bytes]) -> bytes:
    """Return the caller's header lines that the upstream gets."""
    return b"".join([b"%s: %s\r\n" % (name, headers[name]) for name in _FORWARDED if name in headers])


def is_event_stream(headers: list[tuple[bytes, bytes]]) -> bool:
    """Return whether an answer is a stream of server-sent events."""
    return any(name == b"content-type" and value.startswith(b"text/event-stream") for name, value in headers)
