"""Starts workers, restarts those that die, replaces all of them on reload. Serves nothing itself.

Each slot has a listening socket of its own (SO_REUSEPORT), opened here and inherited by whichever worker has the slot.
A reload starts the successor on the same socket before the old worker is told to drain: connections that wait to be
accepted wait in the socket's queue, which nobody closes, so none is ever reset.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import time
from typing import TYPE_CHECKING, Literal, NamedTuple

from trimtab.core.errors import StorageError
from trimtab.gateway.workers.worker import WorkerLink, worker_arguments

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

__all__ = ["Supervisor", "WorkerEvent"]

_READY_SECONDS = 30.0
_STEADY_SECONDS = 10.0
"""A worker that served this long did not die of how it was started: it is replaced at once."""
_BACKOFF_SECONDS = (0.0, 0.1, 0.5, 1.0, 2.0, 5.0)
_GRACE_SECONDS = 5.0
"""Beyond a worker's own time to drain."""


class WorkerEvent(NamedTuple):
    """What happened, for people."""

    kind: Literal["listening", "reloading", "reloaded", "reload_failed", "died", "not_started", "stopping", "stopped"]
    detail: str


class _Worker(NamedTuple):
    process: asyncio.subprocess.Process
    started: float


class Supervisor:
    """`run` it; SIGHUP reloads, SIGTERM or SIGINT drains, a second one cuts off.

    `command` starts a worker: it is run afresh each time, the link's options appended, so it reads its settings anew.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        workers: int,
        host: str,
        port: int,
        drain_seconds: float,
        tell: Callable[[WorkerEvent], None],
    ) -> None:
        self._command = list(command)
        self._host = host
        self._drain_seconds = drain_seconds
        self._tell = tell
        self._sockets = _listen(host, port, workers)
        self._workers: list[_Worker | None] = [None] * workers
        self._alive_read, self._alive_write = os.pipe()  # the write end closes when this process ends, however it ends
        self._living: set[asyncio.subprocess.Process] = set()
        """Every worker process: those of the slots, those that start and those that drain."""
        self._stopping = asyncio.Event()
        self._reloading = asyncio.Lock()
        self._turns = [asyncio.Lock() for _ in range(workers)]
        """Whoever starts a worker for a slot holds its lock, so that no slot ever gets two."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._failures = 0

    @property
    def address(self) -> tuple[str, int]:
        """Where the workers are reached."""
        host, port = self._sockets[0].getsockname()[:2]
        return host, port

    async def run(self) -> None:
        """Start all workers and keep them until told to stop; raises `StorageError` where the first do not start."""
        loop = asyncio.get_running_loop()
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, self._stop)
        loop.add_signal_handler(signal.SIGHUP, lambda: self._spawn(self._reload()))
        try:
            starting, stopped = self._spawn(self._start_all()), self._spawn(self._stopped())
            await asyncio.wait({starting, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                starting.result()
                await stopped
        finally:
            await self._drain()

    async def _start_all(self) -> None:
        for slot in range(len(self._workers)):
            worker = await self._start(slot)
            if worker is None:
                raise StorageError(
                    "worker_not_started",
                    f"worker {slot + 1} of {len(self._workers)} did not start",
                    hint="its own message stands above",
                )
            self._take(slot, worker)
        host, port = self.address
        self._tell(WorkerEvent("listening", f"{len(self._workers)} workers on http://{host}:{port}/v1"))

    async def _stopped(self) -> None:
        await self._stopping.wait()

    # --- signals ------------------------------------------------------------------------------------------------

    def _stop(self) -> None:
        if self._stopping.is_set():
            for process in self._living:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
        self._stopping.set()

    async def _reload(self) -> None:
        """Replace the workers one after the other; stop at the first successor that does not come up."""
        async with self._reloading:
            if self._stopping.is_set():
                return
            began = time.monotonic()
            self._tell(WorkerEvent("reloading", "each worker is replaced by a new one with the settings of now"))
            for slot in range(len(self._workers)):
                async with self._turns[slot]:
                    fresh = await self._start(slot)
                    if fresh is None:
                        kept = f"workers {slot + 1} to {len(self._workers)} go on with the settings they had"
                        self._tell(WorkerEvent("reload_failed", f"the new worker did not start; {kept}"))
                        return
                    old = self._workers[slot]
                    self._take(slot, fresh)
                if old is not None and old.process.returncode is None:
                    old.process.terminate()
                    self._spawn(self._see_off(old.process))
            self._tell(WorkerEvent("reloaded", f"in {time.monotonic() - began:.1f} s"))

    # --- workers ------------------------------------------------------------------------------------------------

    async def _start(self, slot: int) -> _Worker | None:
        """Return a worker that serves on a slot's socket; `None` where it does not say so in time."""
        try:
            process, ready = await self._launch(slot)
        except OSError as error:  # no memory or no descriptors left, or the program is being replaced
            self._tell(WorkerEvent("not_started", f"worker {slot + 1} cannot be started: {error}"))
            return None
        if await _said_ready(ready):
            return _Worker(process, time.monotonic())
        if process.returncode is None:
            process.kill()
        await process.wait()
        return None

    async def _launch(self, slot: int) -> tuple[asyncio.subprocess.Process, int]:
        """Return a new process and where it will say that it is ready; raises `OSError`."""
        ready_read, ready_write = os.pipe()
        link = WorkerLink(self._sockets[slot].fileno(), ready_write, self._alive_read)
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command, *worker_arguments(link), pass_fds=tuple(link), start_new_session=True
            )
        except BaseException:
            os.close(ready_read)
            raise
        finally:
            os.close(ready_write)
        self._living.add(process)
        self._spawn(self._forget(process))
        return process, ready_read

    async def _forget(self, process: asyncio.subprocess.Process) -> None:
        await process.wait()
        self._living.discard(process)

    def _take(self, slot: int, worker: _Worker) -> None:
        self._workers[slot] = worker
        self._spawn(self._watch(slot, worker))

    async def _watch(self, slot: int, worker: _Worker) -> None:
        """Replace a worker that ends although nobody told it to."""
        status = await worker.process.wait()
        if self._stopping.is_set() or self._workers[slot] is not worker:
            return
        lived = time.monotonic() - worker.started
        self._failures = 0 if lived > _STEADY_SECONDS else self._failures + 1
        how = f"by signal {-status}" if status < 0 else f"with status {status}"
        self._tell(WorkerEvent("died", f"worker {worker.process.pid} ended {how}; another takes its place"))
        while not self._stopping.is_set():
            await asyncio.sleep(_BACKOFF_SECONDS[min(self._failures, len(_BACKOFF_SECONDS) - 1)])
            async with self._turns[slot]:
                if self._workers[slot] is not worker:
                    return  # a reload has filled the slot meanwhile
                fresh = await self._start(slot)
                if fresh is not None:
                    self._take(slot, fresh)
                    return
            self._failures += 1

    async def _see_off(self, process: asyncio.subprocess.Process) -> None:
        """Give a worker that drains its time, and no more."""
        try:
            async with asyncio.timeout(self._drain_seconds + _GRACE_SECONDS):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()

    async def _drain(self) -> None:
        """End every worker, also those that start or drain already.

        The sockets are closed first: a connection that waited for workers which accept no more would be reset.
        """
        self._stopping.set()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for each in self._sockets:
            each.close()
        living = [process for process in self._living if process.returncode is None]
        if living:
            self._tell(WorkerEvent("stopping", f"{len(living)} workers finish what they have begun"))
        for process in living:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
        await asyncio.gather(*(self._see_off(process) for process in living))
        os.close(self._alive_write)
        os.close(self._alive_read)
        self._tell(WorkerEvent("stopped", "nobody listens any more"))

    def _spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _listen(host: str, port: int, count: int) -> list[socket.socket]:
    """Return `count` sockets that share one port; raises `OSError` where it is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sockets: list[socket.socket] = []
    try:
        for _ in range(count):
            one = socket.socket(family, socket.SOCK_STREAM)
            sockets.append(one)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            one.bind((host, port))
            one.listen(1024)
            port = one.getsockname()[1]
    except OSError:
        for one in sockets:
            one.close()
        raise
    return sockets


async def _said_ready(descriptor: int) -> bool:
    """Wait until a worker says that it serves; `False` where it ends or takes too long."""
    loop = asyncio.get_running_loop()
    said: asyncio.Future[bytes] = loop.create_future()

    def read() -> None:
        loop.remove_reader(descriptor)
        if not said.done():
            said.set_result(os.read(descriptor, 16))

    loop.add_reader(descriptor, read)
    try:
        async with asyncio.timeout(_READY_SECONDS):
            return bool(await said)
    except TimeoutError:
        return False
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
