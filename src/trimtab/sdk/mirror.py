"""Runs mirrored requests beside the users' own: bounded, in the background, never in anybody's way."""

from __future__ import annotations

import contextlib
import queue
import threading
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from asyncio import Task
    from collections.abc import Coroutine
    from typing import Any

__all__ = ["MirrorJob", "Mirrors"]

_WORKERS = 4
_BACKLOG = 64


class MirrorJob(Protocol):
    """One mirrored request. It records itself; `run` and `run_async` raise nothing but a cancellation."""

    def run(self) -> None:
        """Call the provider and record, in a thread of the pool."""
        ...

    def run_async(self) -> Coroutine[Any, Any, None]:
        """Call the provider and record, in the caller's event loop."""
        ...

    def abandon(self, code: str) -> None:
        """Record that it was not carried out; ignored once it has recorded itself."""
        ...


class Mirrors:
    """At most `backlog` mirrored requests at once; threads for synchronous clients, tasks for asynchronous ones.

    A request beyond that is not mirrored and is recorded as `mirror_overloaded`; one still unfinished at `close` as
    `mirror_abandoned`.
    """

    def __init__(self, *, workers: int = _WORKERS, backlog: int = _BACKLOG) -> None:
        self._workers = workers
        self._backlog = backlog
        self._queue: queue.SimpleQueue[MirrorJob | None] = queue.SimpleQueue()
        self._changed = threading.Condition()
        self._pending: set[MirrorJob] = set()
        self._threads = 0
        self._tasks: set[Task[None]] = set()
        self._closed = False

    def submit(self, job: MirrorJob) -> None:
        """Run a job in a thread of the pool."""
        if not self._admit(job):
            return
        self._queue.put(job)
        with self._changed:
            if self._threads < min(self._workers, len(self._pending)):
                self._start_worker()

    def submit_async(self, job: MirrorJob) -> None:
        """Run a job as a task of the running event loop."""
        import asyncio

        if not self._admit(job):
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # the client runs on another event loop (trio): the user's answer must not suffer
            job.abandon("mirror_unsupported_loop")
            self._done(job)
            return
        task = loop.create_task(job.run_async(), name="trimtab-mirror")
        self._tasks.add(task)  # the loop itself keeps only a weak reference
        task.add_done_callback(lambda done: self._task_done(done, job))

    def settle(self, timeout_seconds: float) -> bool:
        """Wait until nothing is under way; return whether that came true in time."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._pending, timeout_seconds)

    def close(self, timeout_seconds: float) -> None:
        """Take no more, wait for what is under way, and record the rest as abandoned."""
        with self._changed:
            self._closed = True
        self.settle(timeout_seconds)
        with self._changed:
            abandoned = list(self._pending)
            self._pending.clear()
            for _ in range(self._threads):
                self._queue.put(None)
        for job in abandoned:
            job.abandon("mirror_abandoned")

    def _admit(self, job: MirrorJob) -> bool:
        with self._changed:
            admitted = not self._closed and len(self._pending) < self._backlog
            if admitted:
                self._pending.add(job)
        if not admitted:
            job.abandon("mirror_overloaded")
        return admitted

    def _start_worker(self) -> None:
        """Add a thread; where the process may have no more, the job waits for one that is there, or for `close`."""
        thread = threading.Thread(target=self._work, name="trimtab-mirror", daemon=True)
        with contextlib.suppress(RuntimeError):
            thread.start()
            self._threads += 1

    def _work(self) -> None:
        while (job := self._queue.get()) is not None:
            try:
                job.run()
            finally:
                self._done(job)

    def _task_done(self, task: Task[None], job: MirrorJob) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            job.abandon("mirror_abandoned")
        self._done(job)

    def _done(self, job: MirrorJob) -> None:
        with self._changed:
            self._pending.discard(job)
            self._changed.notify_all()
