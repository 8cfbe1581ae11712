"""A worker's end: the socket it inherits, how it says that it is ready, how it learns that its supervisor is gone."""

from __future__ import annotations

import asyncio
import os
import socket
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["WorkerLink", "worker_arguments"]

_READY = b"ready"


class WorkerLink(NamedTuple):
    """File descriptors that a worker gets from its supervisor."""

    listening: int
    """A socket that listens already. The supervisor keeps it open, so what waits in its queue outlives the worker."""
    ready: int
    """Written to once the worker serves."""
    alive: int
    """Reads as ended when the supervisor is gone, however it went."""

    def socket(self) -> socket.socket:
        """Return the inherited socket; the worker owns the descriptor, not the queue behind it."""
        return socket.socket(fileno=self.listening)

    def say_ready(self) -> None:
        """Tell the supervisor that this worker serves."""
        os.write(self.ready, _READY)
        os.close(self.ready)

    def watch(self, gone: Callable[[], None]) -> None:
        """Call `gone` when the supervisor has ended: a worker without one would never be reloaded or stopped."""
        loop = asyncio.get_running_loop()

        def ended() -> None:
            loop.remove_reader(self.alive)
            gone()

        os.set_blocking(self.alive, False)
        loop.add_reader(self.alive, ended)


def worker_arguments(link: WorkerLink) -> list[str]:
    """Return the command-line options that hand the link to a worker; `WorkerLink(*...)` of their values reads them."""
    return ["--worker", ",".join(str(descriptor) for descriptor in link)]
