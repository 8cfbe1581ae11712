"""Which headers cross the gateway, in either direction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["FORWARDED", "forwarded_headers", "is_event_stream", "passed_headers"]

_PASSED: Final = frozenset(
    {
        b"cache-control",
        b"content-type",
        b"retry-after",
        b"retry-after-ms",
        b"x-request-id",
        b"x-should-retry",
    }
)
_PASSED_PREFIXES: Final = (b"openai-", b"x-ratelimit-", b"anthropic-ratelimit-")
FORWARDED: Final = frozenset({b"tracestate", b"x-client-request-id", b"openai-beta", b"anthropic-beta"})
"""The caller's headers that the upstream gets."""
_MAX_NAMES: Final = 4096
_passes: Final[dict[bytes, bool]] = {}
"""What was decided of a header's name before: upstreams send the same few again and again."""


def passed_headers(headers: list[tuple[bytes, bytes]]) -> bytes:
    """Return the upstream's header lines that the caller gets."""
    lines = b""
    for field in headers:
        passes = _passes.get(field[0])
        if passes is None:
            passes = _judge(field[0])
        if passes:
            lines += b"%b: %b\r\n" % field
    return lines


def forwarded_headers(headers: Mapping[bytes, bytes]) -> bytes:
    """Return the caller's header lines that the upstream gets."""
    lines = b""
    for name in sorted(FORWARDED):
        if name in headers:
            lines += b"%b: %b\r\n" % (name, headers[name])
    return lines


def is_event_stream(headers: list[tuple[bytes, bytes]]) -> bool:
    """Return whether an answer is a stream of server-sent events."""
    return any(name == b"content-type" and value.startswith(b"text/event-stream") for name, value in headers)


def _judge(name: bytes) -> bool:
    passes = name in _PASSED or name.startswith(_PASSED_PREFIXES)
    if len(_passes) < _MAX_NAMES:
        _passes[name] = passes
    return passes
