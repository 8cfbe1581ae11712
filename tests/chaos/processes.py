"""The processes under test: started, started again when they die, found, killed and frozen."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

__all__ = ["Actor", "Cast"]

_LOOK_SECONDS = 0.05
_BREATH_SECONDS = 0.4
"""Between two starts of a process that cannot live (a full disk)."""


class Actor:
    """One process: what is run, and how often it died by our hand."""

    def __init__(self, log: Path, command: Sequence[str], *, folder: Path, environment: dict[str, str]) -> None:
        self._log = log
        self._command = list(command)
        self._folder = folder
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None
        self._began = 0.0

    @property
    def pid(self) -> int | None:
        """Its process id while it runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def start(self) -> None:
        """Start it, unless it was started a moment ago."""
        if time.monotonic() - self._began < _BREATH_SECONDS:
            return
        self._began = time.monotonic()
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._folder,
                env=self._environment,
                start_new_session=True,
            )

    def end(self) -> None:
        """Kill it and its children."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


class Cast:
    """Keeps actors alive, as systemd would, until the curtain falls."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self._logs = folder / "logs"
        self._environment = environment
        self.actors: dict[str, Actor] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="cast", daemon=True)
        self._logs.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def add(self, name: str, command: Sequence[str], folder: Path) -> Actor:
        """Start a process in a folder and keep it alive."""
        actor = Actor(self._logs / f"{name}.log", command, folder=folder, environment=self._environment)
        actor.start()
        self.actors[name] = actor
        return actor

    def pids(self, role: str) -> list[int]:
        """Return the living processes of a role: `gateway worker` are the children of the gateway."""
        if role == "gateway worker":
            return [child for pid in self.pids("gateway") for child in _children(pid)]
        return [pid for name, actor in self.actors.items() if name.startswith(role) and (pid := actor.pid) is not None]

    def end(self) -> None:
        """Kill all that run, and start none of them again."""
        self._over.set()
        self._thread.join()
        for actor in self.actors.values():
            actor.end()

    def _keep(self) -> None:
        while not self._over.wait(_LOOK_SECONDS):
            for actor in list(self.actors.values()):
                if actor.pid is None:
                    actor.start()


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
