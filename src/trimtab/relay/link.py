"""HTTP to the control plane's nodes: one connection, kept open, to whichever of them answers."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from trimtab.core.errors import AuthenticationError, InputError, StorageError

if TYPE_CHECKING:
    import ssl
    from collections.abc import Sequence

__all__ = ["Answer", "Link", "NodesAwayError"]

_CONNECT_SECONDS = 5.0
_UNAUTHORISED = 401
_UNAVAILABLE = 503


class NodesAwayError(StorageError):
    """No node answers, or the one asked cannot just now. Nothing is lost by trying again."""


class Answer(NamedTuple):
    """What a node said."""

    status: int
    body: bytes

    @property
    def error(self) -> dict[str, Any]:
        """The error in it; empty where there is none in our shape."""
        with contextlib.suppress(ValueError, AttributeError):
            found = json.loads(self.body).get("error")
            return found if isinstance(found, dict) else {}
        return {}


class Link:
    """Speaks to one node at a time; one that fails is left for the next. One thread."""

    def __init__(self, servers: Sequence[str], key: str, tls: ssl.SSLContext | None, *, read_seconds: float) -> None:
        """Connects to nothing yet; raises `InputError` for what is no URL of a node."""
        self._servers = [_checked(server) for server in servers]
        self._headers = {"authorization": f"Bearer {key}", "user-agent": "trimtab-relay"}
        self._tls = tls
        self._read_seconds = read_seconds
        self._next = 0
        self._led_to = ""
        self._connection: http.client.HTTPConnection | None = None

    @property
    def server(self) -> str:
        """The node that is spoken to."""
        return self._led_to or self._servers[self._next % len(self._servers)]

    def lead_to(self, server: str) -> None:
        """Speak to another node from now on, until it fails; to the next of those known where `server` is empty."""
        self.close()
        if server:
            self._led_to = _checked(server)
        else:
            self._move_on()

    def call(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        """Return the answer to a request that may come twice. Raises `NodesAwayError`, `AuthenticationError`."""
        fresh = self._connection is None
        try:
            return self._call(method, path, body, headers)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            if fresh:
                raise self._away(error) from error
        try:  # a kept connection that the node had closed meanwhile
            return self._call(method, path, body, headers)
        except (OSError, http.client.HTTPException) as error:
            raise self._away(error) from error

    def stream(self, path: str) -> http.client.HTTPResponse:
        """Return an answer whose body is read by the caller, who calls :meth:`close`. Raises as :meth:`call`."""
        self.close()
        try:
            connection = self._connect()
            connection.request("GET", path, headers=self._headers | {"accept": "text/event-stream"})
            response = connection.getresponse()
            if response.status != http.client.OK:
                self._judge(Answer(response.status, response.read()))
                raise NodesAwayError("unexpected_answer", f"{self.server} answers {response.status}", param=self.server)
        except (OSError, http.client.HTTPException) as error:
            raise self._away(error) from error
        return response

    def close(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def cut(self) -> None:
        """Cut the connection from another thread: whoever reads from it stops waiting."""
        connection = self._connection
        with contextlib.suppress(OSError):
            if connection is not None and connection.sock is not None:
                connection.sock.shutdown(socket.SHUT_RDWR)

    def fail(self, error: Exception) -> NodesAwayError:
        """Leave the node for the next; returns the error to raise."""
        return self._away(error)

    def _call(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> Answer:
        connection = self._connection or self._connect()
        connection.request(method, path, body, self._headers | headers)
        response = connection.getresponse()
        answer = Answer(response.status, response.read())
        self._judge(answer)
        return answer

    def _judge(self, answer: Answer) -> None:
        if answer.status == _UNAUTHORISED:
            self.close()
            raise AuthenticationError(
                "invalid_api_key",
                f"{self.server} does not know this machine's key",
                param="relay.key_env",
                hint="trimtab key create TEAM --role data-plane, on the control plane",
            )
        if answer.status >= _UNAVAILABLE - 3:  # 500 and more: it cannot just now
            where, said = self.server, answer.error.get("message", "no reason given")
            self.lead_to("")
            raise NodesAwayError("node_unavailable", f"{where} answers {answer.status}: {said}", param=where)

    def _connect(self) -> http.client.HTTPConnection:
        parts = urlsplit(self.server)
        connection: http.client.HTTPConnection
        if parts.scheme == "https":
            connection = http.client.HTTPSConnection(
                parts.hostname or "", parts.port, timeout=_CONNECT_SECONDS, context=self._tls
            )
        else:
            connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=_CONNECT_SECONDS)
        try:
            connection.connect()
        except BaseException:
            connection.close()  # a handshake that failed leaves a socket behind
            raise
        connection.sock.settimeout(self._read_seconds)
        self._connection = connection
        return connection

    def _away(self, error: Exception) -> NodesAwayError:
        where = self.server
        self.lead_to("")
        return NodesAwayError(
            "node_unavailable",
            f"{where} does not answer: {getattr(error, 'strerror', None) or str(error) or type(error).__name__}",
            param=where,
            hint="data planes serve on with weights as they are; journals are kept and shipped later",
        )

    def _move_on(self) -> None:
        if self._led_to:
            self._led_to = ""
        else:
            self._next += 1


def _checked(server: str) -> str:
    try:
        parts = urlsplit(server)
        if parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0 and not parts.username:
            return server.rstrip("/")
    except ValueError:
        pass
    raise InputError(
        "malformed_server",
        f"`{server}` is no address of a node",
        param="relay.servers",
        hint="https://control.internal:8402",
    )
