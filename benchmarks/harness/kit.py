"""The measuring kit: an upstream and a load generator in C, compiled once into the workspace."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from benchmarks.harness.processes import LOAD_CORE, pinned

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.servers.model import Server

__all__ = ["Kit", "Load", "build_kit"]

_SOURCES = Path(__file__).parent.parent / "kit"
_FLAGS = ("-O2", "-std=gnu11", "-Wall", "-Wextra")
_TLS_FLAGS = ("-DWITH_TLS",)
_TLS_LIBRARIES = ("-lssl", "-lcrypto")


class Load(msgspec.Struct, frozen=True):
    """What one run of the load generator saw. Times in microseconds."""

    requests: int
    seconds: float
    rps: float
    errors: int
    """Connections that ended in the middle of an answer, or never answered."""
    refused: int
    """Answers with a status other than 2xx; `excerpt` is the beginning of the first."""
    p50_us: float
    p90_us: float
    p99_us: float
    max_us: float
    first_byte_p50_us: float
    first_byte_p99_us: float
    bytes_per_answer: float
    reads_per_answer: float
    excerpt: str

    @property
    def problem(self) -> str:
        """Why the run does not count, or an empty string."""
        if self.refused:
            return f"{self.refused} of {self.requests} refused: {self.excerpt}"
        if self.errors:
            return f"{self.errors} connections lost"
        return "" if self.requests else "no request completed"


@dataclasses.dataclass(frozen=True)
class Kit:
    """The two programs, and whether the upstream can speak TLS."""

    mock: Path
    load: Path
    tls: bool
    busy_poll: bool = False
    """Whether upstream and load generator stay awake (see `kit/load.c`), at ordinary priority: at real-time priority
    they would keep the kernel's own workers, and with them the disk, from their core."""

    def _environment(self) -> dict[str, str]:
        return {**os.environ, **({"BUSY_POLL": "1"} if self.busy_poll else {})}

    @contextlib.contextmanager
    def upstream(self, certificate: Path | None = None, key: Path | None = None) -> Iterator[int]:
        """Run the upstream on the load generator's core; yields its port."""
        command = [str(self.mock), "0", *(str(path) for path in (certificate, key) if path)]
        with subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            text=True,
            env=self._environment(),
            preexec_fn=pinned(LOAD_CORE, real_time=not self.busy_poll),  # noqa: PLW1509 - one thread
        ) as process:
            try:
                assert process.stdout is not None
                yield int(process.stdout.readline())
            finally:
                process.kill()

    def drive(self, server: Server, body: Path, *, connections: int, seconds: float = 0, requests: int = 0) -> Load:
        """Load `server` for a time or for a number of requests."""
        until = ("--requests", str(requests)) if requests else ("--seconds", str(seconds))
        headers = [part for line in server.headers for part in ("--header", line)]
        command = [
            str(self.load),
            *headers,
            *("--body", str(body)),
            *("--connections", str(connections)),
            *until,
            str(server.port),
            server.path,
        ]
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            env=self._environment(),
            preexec_fn=pinned(LOAD_CORE, real_time=not self.busy_poll),
        )
        if done.returncode:
            raise RuntimeError(f"{server.name}: {done.stderr.strip()}")
        return msgspec.json.decode(done.stdout, type=Load)


def build_kit(folder: Path) -> Kit:
    """Compile what is older than its source; raises `RuntimeError` where there is no C compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise RuntimeError("the benchmarks need a C compiler (`cc` or `gcc`): the load generator is written in C")
    folder.mkdir(parents=True, exist_ok=True)
    load, with_tls, without = folder / "load", folder / "mock-tls", folder / "mock"
    _compile(compiler, _SOURCES / "load.c", load)
    if _compile(compiler, _SOURCES / "mock.c", with_tls, flags=_TLS_FLAGS, libraries=_TLS_LIBRARIES, must=False):
        return Kit(with_tls, load, tls=True)
    _compile(compiler, _SOURCES / "mock.c", without)
    return Kit(without, load, tls=False)


def _compile(
    compiler: str,
    source: Path,
    target: Path,
    *,
    flags: tuple[str, ...] = (),
    libraries: tuple[str, ...] = (),
    must: bool = True,
) -> bool:
    if target.exists() and target.stat().st_mtime > source.stat().st_mtime:
        return True
    command = [compiler, *_FLAGS, *flags, "-o", str(target), str(source), *libraries]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode and must:
        raise RuntimeError(f"{' '.join(command)}\n{done.stderr}")
    return done.returncode == 0
