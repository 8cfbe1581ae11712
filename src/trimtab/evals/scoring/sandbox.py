"""Runs a scorer's function in a process of its own.

What it is for: a scorer that hangs, eats memory, prints or crashes costs its item and nothing else, and it sees none of
this process's environment (no keys). What it is not: a wall. The code runs as the same user, reads the same files and
reaches the same network; run what you do not trust elsewhere.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import msgspec

from trimtab.core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["SandboxError", "Sandboxed", "source_digest"]

_WORKER = Path(__file__).with_name("sandbox_worker.py")
_START_SECONDS = 20.0
_LONGEST_ERROR = 300


class SandboxError(Exception):
    """The function did not answer."""


class Sandboxed:
    """A function, `module:name` in one of some folders; its process starts at the first call and after each death."""

    def __init__(
        self, reference: str, folders: Sequence[Path], *, timeout_seconds: float = 10.0, memory_mb: int = 1024
    ) -> None:
        self._reference = reference
        self._folders = [str(folder.resolve()) for folder in folders]
        self._timeout_seconds = timeout_seconds
        self._memory_mb = memory_mb
        self._process: subprocess.Popen[bytes] | None = None
        self._folder = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def call(self, *arguments: Any) -> Any:  # noqa: ANN401 - any JSON values
        """Return what the function returns for these JSON values; raises `SandboxError` where it does not."""
        process = self._process or self._start()
        assert process.stdin is not None  # noqa: S101 - opened as a pipe
        try:
            process.stdin.write(msgspec.json.encode(arguments) + b"\n")
            process.stdin.flush()
        except OSError as error:
            self.close()
            raise SandboxError("its process died") from error
        said = self._answer(self._timeout_seconds)
        if "error" in said:
            raise SandboxError(str(said["error"])[:_LONGEST_ERROR])
        return said.get("value")

    def close(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        with contextlib.suppress(OSError):
            Path(self._folder).rmdir()  # what it left there stays, to be looked at

    def _start(self) -> subprocess.Popen[bytes]:
        """Start the process; raises `InputError` (`scorer_not_loaded`) where there is no such function."""
        self._folder = tempfile.mkdtemp(prefix="trimtab-scorer-")
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-B", str(_WORKER), self._reference, str(self._memory_mb), *self._folders],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=self._folder,
            env={"PATH": os.defpath, "LANG": "C.UTF-8"},
            start_new_session=True,
        )
        try:
            said = self._answer(_START_SECONDS)
        except SandboxError as error:
            said = {"error": str(error)}
        if "error" in said:
            self.close()
            raise InputError(
                "scorer_not_loaded",
                f"the function of a scorer cannot be loaded: {said['error']}",
                param=self._reference,
                hint="it is looked for in " + ", ".join(self._folders),
            )
        return self._process

    def _answer(self, seconds: float) -> dict[str, Any]:
        process = self._process
        assert process is not None  # noqa: S101 - called after it started
        assert process.stdout is not None  # noqa: S101 - opened as a pipe
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            if not selector.select(seconds):
                self.close()
                raise SandboxError(f"it took longer than {seconds:g} s")
        line = process.stdout.readline()  # whole once it begins: the worker writes it in one piece
        if not line:
            self.close()
            raise SandboxError("its process died")
        said: dict[str, Any] = msgspec.json.decode(line)
        return said


def source_digest(reference: str, folders: Sequence[Path]) -> str:
    """Return a digest of the file that holds a function; empty where it is not found."""
    from trimtab.core.ids import digest_of

    relative = reference.partition(":")[0].replace(".", "/")
    for folder in folders:
        for path in (folder / f"{relative}.py", folder / relative / "__init__.py"):
            if path.is_file():
                return digest_of(path.read_bytes())
    return ""
