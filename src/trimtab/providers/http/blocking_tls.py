"""TLS on a socket that blocks, which tells an end that the other side announced from one that anybody could make.

`ssl.SSLSocket` cannot: OpenSSL is told there to take any end for an announced one. That is how an answer is cut short
unnoticed (RFC 9112 §9.8).
"""

from __future__ import annotations

import ssl
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket

__all__ = ["TlsSocket"]

_READ_BYTES = 64 * 1024
_SHORTEST_SECONDS = 0.001


class TlsSocket:
    """What `SocketTransport` needs of a socket."""

    def __init__(self, plain: socket.socket, context: ssl.SSLContext, host: str, *, deadline: float) -> None:
        """Shake hands as the client of `host`; raises `OSError`, `ssl.SSLError` and `TimeoutError` among it.

        `deadline`: until when, in seconds of the monotonic clock.
        """
        self._plain = plain
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        while True:
            try:
                self._tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self._flush()
                plain.settimeout(max(_SHORTEST_SECONDS, deadline - time.monotonic()))
                self._fill()
            except ssl.SSLError:
                self._flush()  # the other side is told why
                raise
        self._flush()

    def sendall(self, data: bytes) -> None:
        """Send all of it."""
        view = memoryview(data)
        while view:
            view = view[self._tls.write(view) :]
        self._flush()

    def recv(self, size: int) -> bytes:
        """Return at least a byte, and no more than `size`; nothing where the other side announced its end.

        Raises `OSError` where it ended without a word.
        """
        while True:
            data = self._decrypted(size)
            if data is not None:
                return data
            self._flush()  # an answer to what TLS itself was asked
            self._fill()

    def is_quiet(self) -> bool:
        """Return whether there is nothing but TLS's own in what has come; waits for nothing."""
        waits = self._plain.gettimeout()
        self._plain.settimeout(0.0)
        try:
            self._fill()
        except BlockingIOError:
            pass
        except OSError:
            return False
        finally:
            self._plain.settimeout(waits)
        try:
            return self._decrypted(1) is None
        except OSError:
            return False

    def settimeout(self, seconds: float) -> None:
        """As sockets have it."""
        self._plain.settimeout(seconds)

    def shutdown(self, how: int) -> None:
        """End the connection, not TLS."""
        self._plain.shutdown(how)

    def close(self) -> None:
        """Close the socket."""
        self._plain.close()

    def fileno(self) -> int:
        """Return the socket's descriptor."""
        return self._plain.fileno()

    def _decrypted(self, size: int) -> bytes | None:
        """Return what has come, of several records what fits; `None` where there is nothing yet."""
        pieces: list[bytes] = []
        try:
            while size > 0:
                piece = self._tls.read(size)
                if not piece:
                    break
                pieces.append(piece)
                size -= len(piece)
        except ssl.SSLWantReadError:
            return b"".join(pieces) if pieces else None
        except ssl.SSLZeroReturnError:
            pass
        return b"".join(pieces)

    def _fill(self) -> None:
        data = self._plain.recv(_READ_BYTES)
        if not data:
            raise ConnectionResetError("the connection ended and TLS did not")
        self._incoming.write(data)

    def _flush(self) -> None:
        if self._outgoing.pending:
            self._plain.sendall(self._outgoing.read())
