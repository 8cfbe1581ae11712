"""The control plane's door for data planes of other machines: a listener of its own, in a thread of its own."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING

from trimtab.cli.output import say
from trimtab.core.errors import InputError

if TYPE_CHECKING:
    import uvicorn

    from trimtab.bootstrap.node_settings import DataPlanesSettings
    from trimtab.bootstrap.nodes import Node
    from trimtab.control.feed import SnapshotFeed

__all__ = ["DoorListener", "open_door"]

_BACKLOG = 2048
_KEEP_ALIVE_SECONDS = 30
_PATIENCE_SECONDS = 3
"""For requests that are under way; streams end at once."""


class DoorListener:
    """Serves from a socket that is bound already."""

    def __init__(self, server: uvicorn.Server, bound: socket.socket, feed: SnapshotFeed, shown: str) -> None:
        self._server = server
        self._feed = feed
        self._thread = threading.Thread(target=server.run, args=([bound],), name="data-planes")
        self.shown = shown
        """Where it listens, for people."""

    def start(self) -> None:
        """Listen."""
        self._thread.start()

    def stop(self) -> None:
        """End every stream and stop listening."""
        self._feed.end()
        self._server.should_exit = True
        if self._thread.ident is not None:
            self._thread.join()


def open_door(node: Node, settings: DataPlanesSettings) -> DoorListener:
    """Bind the listener; raises `InputError` where the address cannot be had or the certificate cannot be read."""
    import uvicorn
    from starlette.applications import Starlette

    from trimtab.api.data_planes import data_plane_routes

    application = Starlette(routes=data_plane_routes(node.door, node.feed, node.inbox, node.board))
    config = uvicorn.Config(
        application,
        log_config=None,
        access_log=False,
        lifespan="off",
        ssl_certfile=settings.tls_certificate or None,
        ssl_keyfile=settings.tls_key or None,
        timeout_graceful_shutdown=_PATIENCE_SECONDS,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
    )
    try:
        config.load()
    except OSError as error:
        raise InputError(
            "unusable_certificate",
            f"the certificate or its key cannot be used: {error}",
            param="server.data_planes.tls_certificate",
            hint="both are PEM files that this user may read, and belong together",
        ) from error
    try:
        family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
        bound = socket.create_server((settings.host, settings.port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise InputError(
            "address_unavailable",
            f"cannot listen to data planes: {error.strerror}",
            param=f"server.data_planes = {settings.host}:{settings.port}",
            hint="is another server running there?",
        ) from error
    if not settings.tls_certificate and not bound.getsockname()[0].startswith(("127.", "::1")):
        say("data planes are listened to without TLS: keys travel readable unless a proxy in front encrypts")
    scheme = "https" if settings.tls_certificate else "http"
    return DoorListener(uvicorn.Server(config), bound, node.feed, f"{scheme}://{settings.host}:{settings.port}")
