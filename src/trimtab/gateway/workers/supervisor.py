"""Starts workers, restarts those that die, replaces all of them on reload. Serves nothing itself.

Each slot has a listening socket of its own (SO_REUSEPORT), opened here and inherited by whichever worker has the slot.
A reload starts the successor on the same socket before the old worker is told to drain: connections that wait to be
accepted wait in the socket's queue, which nobody closes, so none is ever reset.
"""

from __future__ import annotations

import asyncio
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

    kind: Literal["listening", "reloading", "reloaded", "reload_failed", "died", "stopping", "stopped"]
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
        self._stopping = asyncio.Event()
        self._reloading = asyncio.Lock()
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
            await self._stopping.wait()
        finally:
            await self._drain()

    # --- signals ------------------------------------------------------------------------------------------------

    def _stop(self) -> None:
        if self._stopping.is_set():
            self._signal(signal.SIGKILL)
        self._stopping.set()

    async def _reload(self) -> None:
        """Replace the workers one after the other; stop at the first successor that does not come up."""
        async with self._reloading:
            began = time.monotonic()
            self._tell(WorkerEvent("reloading", "each worker is replaced by a new one with the settings of now"))
            for slot in range(len(self._workers)):
                fresh = None if self._stopping.is_set() else await self._start(slot)
                if fresh is None:
                    kept = f"workers {slot + 1} to {len(self._workers)} go on with the settings they had"
                    self._tell(WorkerEvent("reload_failed", f"the new worker did not start; {kept}"))
                    return
                old = self._workers[slot]
                self._take(slot, fresh)
                if old is not None and old.process.returncode is None:
                    old.process.terminate()
                    self._spawn(self._see_off(old))
            self._tell(WorkerEvent("reloaded", f"in {time.monotonic() - began:.1f} s"))

    # --- workers ------------------------------------------------------------------------------------------------

    async def _start(self, slot: int) -> _Worker | None:
        """Return a worker that serves on a slot's socket; `None` where it does not say so in time."""
        ready_read, ready_write = os.pipe()
        link = WorkerLink(self._sockets[slot].fileno(), ready_write, self._alive_read)
        process = await asyncio.create_subprocess_exec(
            *self._command, *worker_arguments(link), pass_fds=tuple(link), start_new_session=True
        )
        os.close(ready_write)
        if await _said_ready(ready_read):
            return _Worker(process, time.monotonic())
        if process.returncode is None:
            process.kill()
        await process.wait()
        return None

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
            if self._stopping.is_set() or self._workers[slot] is not worker:
                return
            fresh = await self._start(slot)
            if fresh is not None:
                self._take(slot, fresh)
                return
            self._failures += 1

    async def _see_off(self, worker: _Worker) -> None:
        """Give a worker that drains its time, and no more."""
        try:
            async with asyncio.timeout(self._drain_seconds + _GRACE_SECONDS):
                await worker.process.wait()
        except TimeoutError:
            worker.process.kill()
            await worker.process.wait()

    async def _drain(self) -> None:
        self._stopping.set()
        living = [worker for worker in self._workers if worker is not None and worker.process.returncode is None]
        if living:
            self._tell(WorkerEvent("stopping", f"{len(living)} workers finish what they have begun"))
        for worker in living:
            worker.process.terminate()
        await asyncio.gather(*(self._see_off(worker) for worker in living))
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for each in self._sockets:
            each.close()
        os.close(self._alive_write)
        os.close(self._alive_read)
        self._tell(WorkerEvent("stopped", "nobody listens any more"))

    def _signal(self, number: int) -> None:
        for worker in self._workers:
            if worker is not None and worker.process.returncode is None:
                worker.process.send_signal(number)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


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
