"""What the harness needs to know of a gateway."""

from __future__ import annotations

import dataclasses
import socket
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.harness.environments import Environments

__all__ = ["Server", "Workspace", "free_port"]

BODY_MODEL = "support-answer"


def free_port() -> int:
    """Return a port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclasses.dataclass(frozen=True)
class Workspace:
    """What gateways are given: a folder each, and the upstream they forward to."""

    folder: Path
    environments: Environments
    upstream_port: int
    tls_port: int = 0
    """0 where the upstream cannot speak TLS here."""
    certificate: Path = Path()
    """Of the upstream, self-signed: its own authority."""

    def home(self, name: str) -> Path:
        """Return the folder of one gateway."""
        home = self.folder / name
        home.mkdir(parents=True, exist_ok=True)
        return home


@dataclasses.dataclass(frozen=True, kw_only=True)
class Server:
    """How a gateway is started and addressed."""

    name: str
    version: str
    configuration: str
    """What is on and off, for people."""
    port: int = 0
    port_file: Path | None = None
    """Where it writes the port, if it chooses one itself."""
    command: tuple[str, ...] = ()
    """Empty for the upstream itself."""
    env: Mapping[str, str] = dataclasses.field(default_factory=dict)
    home: Path = Path()
    path: str = "/v1/chat/completions"
    headers: tuple[str, ...] = ()
    model: str = BODY_MODEL
    """What requests name as their model."""
    ready_seconds: float = 90.0
    data: Path | None = None
    """Our own data directory, whose process status tells what was recorded."""
