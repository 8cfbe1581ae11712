"""What one upstream may take of time, connections and bytes."""

from __future__ import annotations

import msgspec

from trimtab.core.errors import UpstreamError

__all__ = ["ClientLimits"]


class ClientLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What one upstream may take."""

    connect_seconds: float = 10.0
    """From the look-up of the name to an open connection, all addresses of the name and TLS included."""
    read_seconds: float = 300.0
    """Longest silence of the upstream, before or inside an answer."""
    total_seconds: float = 600.0
    """From the call to the last byte of the answer, waiting for a connection included."""
    max_connections: int = 512
    """Calls beyond this wait for a connection, and get it in the order in which they came."""
    idle_seconds: float = 30.0
    """Idle connections older than this are closed, not used."""
    max_connection_seconds: float = 300.0
    """A connection older than this (less up to a tenth, by chance) is closed once its call is over, and the next one
    looks the name up again: a changed address is followed within this time and the longest call."""
    max_head_bytes: int = 256 * 1024
    """Status line and headers of an answer."""

    def late(self, beside: str = "") -> UpstreamError:
        """Return the failure of a call that has taken its whole time; `beside` is what else is to be said of it."""
        return UpstreamError("upstream_timeout", f"no complete answer within {self.total_seconds:g} s{beside}")

    def silent(self) -> UpstreamError:
        """Return the failure of a call whose upstream was silent for too long."""
        return UpstreamError("upstream_timeout", f"the upstream was silent for {self.read_seconds:g} s")
