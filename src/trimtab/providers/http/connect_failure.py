"""Why there is no connection to an upstream: in few words for callers, with addresses for the operator's log."""

from __future__ import annotations

import errno
import logging
import os
import socket
import ssl
import time

from trimtab.core.errors import UpstreamError

__all__ = ["ConnectFailures"]

_log = logging.getLogger("trimtab.upstreams")
_LOG_SECONDS = 10.0
_OWN_SHORTAGE = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS})
"""This machine has nothing left to connect with: no upstream is to blame."""


class ConnectFailures:
    """What failed to one upstream. Callers learn neither its address nor what it resolves to."""

    def __init__(self, name: str, url: str) -> None:
        self._name = name
        self._url = url
        self._quiet_until = 0.0

    def timed_out(self, seconds: float) -> UpstreamError:
        """Return `upstream_connect_timeout`."""
        self._tell(f"no connection within {seconds:g} s")
        return UpstreamError("upstream_connect_timeout", f"no connection to {self._name} within {seconds:g} s")

    def failed(self, cause: OSError | UnicodeError) -> UpstreamError:
        """Return `upstream_unreachable`; `gateway_exhausted` where it is this process that cannot connect."""
        self._tell(str(cause))
        if isinstance(cause, OSError) and cause.errno in _OWN_SHORTAGE:
            return UpstreamError(
                "gateway_exhausted",
                f"nothing was sent: this process cannot open another connection ({os.strerror(cause.errno)})",
                hint="raise its limit of open files, or spread the load over more processes",
            )
        return UpstreamError("upstream_unreachable", f"cannot connect to {self._name}: {_reason(cause)}")

    def closed(self) -> UpstreamError:
        """Return `upstream_disconnected`: connected, and closed before anything was sent."""
        self._tell("the connection was closed at once")
        return UpstreamError("upstream_disconnected", f"{self._name} closed the connection at once")

    def _tell(self, what: str) -> None:
        """Write a line to the log, but not one for each call while an upstream is down."""
        now = time.monotonic()
        if now >= self._quiet_until:
            self._quiet_until = now + _LOG_SECONDS
            _log.warning("%s at %s: %s", self._name, self._url, what)


def _reason(cause: OSError | UnicodeError) -> str:
    # The text of the exception itself names hosts and addresses.
    if isinstance(cause, ssl.SSLCertVerificationError):
        return "its certificate is not valid for it"
    if isinstance(cause, ssl.SSLError):
        return "TLS failed"
    if isinstance(cause, socket.gaierror | UnicodeError):
        return "its name cannot be resolved"
    if cause.errno is not None and cause.errno > 0:
        return os.strerror(cause.errno)
    return "no address answered"
