"""Ports of this machine that nobody listens on, and that nobody else will be given."""

from __future__ import annotations

import fcntl
import os
import socket
import tempfile
from pathlib import Path

__all__ = ["free_port"]

_FIRST, _LAST = 15_000, 31_999
"""Below what Linux hands to connections and to `port 0`, or one of those would take a port between here and its use."""


def free_port() -> int:
    """Return one, and no caller of any process the same again until all the others have been given out."""
    counter = Path(tempfile.gettempdir()) / f"trimtab-ports-{os.getuid()}"
    with counter.open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # given back with the file
        file.seek(0)
        start = int(file.read() or 0)
        for step in range(_LAST - _FIRST + 1):
            port = _FIRST + (start + step) % (_LAST - _FIRST + 1)
            with socket.socket() as probe:
                try:
                    probe.bind(("127.0.0.1", port))
                except OSError:
                    continue
            file.seek(0)
            file.truncate()
            file.write(str(start + step + 1))
            file.flush()
            return port
    raise OSError(f"every port from {_FIRST} to {_LAST} is taken")
