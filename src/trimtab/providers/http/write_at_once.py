"""When what is written leaves."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

__all__ = ["write_at_once"]


def write_at_once(transport: asyncio.Transport) -> None:
    """Have each write sent when it is made; the protocol is told to pause as soon as the kernel takes no more.

    uvloop would collect writes until the end of its turn, which costs a busy gateway 3 % of a request and an idle one's
    caller 4 µs; it does not where a write exceeds the limit. One byte and not none: over TLS that is always reached.
    """
    transport.set_write_buffer_limits(high=1)
