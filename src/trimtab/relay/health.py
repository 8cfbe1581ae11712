"""How a machine's relay fares: one small file, rewritten every second, for probes and people."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from trimtab.core.errors import NotFoundError
from trimtab.serving.durable_file import write_atomically

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["RelayHealth", "read_health", "write_health"]

_STALE_MS = 5_000


class RelayHealth(msgspec.Struct, frozen=True, kw_only=True):
    """What `relay.json` holds."""

    machine: str
    environment: str
    pid: int
    at_ms: int
    server: str
    """The node that snapshots come from."""
    journals_to: str
    """The node that journals go to."""
    revision: int
    """Of the snapshot that this machine serves."""
    heard_seconds_ago: float | None
    """Since a node was last heard of; `null` before the first time."""
    shipped_seconds_ago: float | None
    """Since a node last took journals in."""
    backlog_bytes: int
    """Of journals, not taken in yet."""
    problem: str
    """Empty while both ways are open."""

    def fault(self, now_ms: int) -> str:
        """Return why this machine is cut off, or an empty string."""
        silent_ms = now_ms - self.at_ms
        return f"the relay wrote nothing for {silent_ms / 1000:.0f} s" if silent_ms > _STALE_MS else self.problem


def write_health(path: Path, health: RelayHealth) -> None:
    """Replace the file; raises `StorageError`."""
    write_atomically(path, msgspec.json.encode(health), durable=False)


def read_health(path: Path) -> RelayHealth:
    """Return what the file holds; raises `NotFoundError` where there is none that can be read."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=RelayHealth)
    except (OSError, msgspec.DecodeError) as error:
        raise NotFoundError(
            "no_relay", "no relay ever ran here", param=str(path), hint="trimtab relay --server https://control:8402"
        ) from error
