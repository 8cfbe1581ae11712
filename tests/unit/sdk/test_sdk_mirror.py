from __future__ import annotations

import asyncio
import threading

from trimtab.sdk.mirror import Mirrors


class Job:
    """A mirrored request that waits until it is let go."""

    def __init__(self) -> None:
        self.started = threading.Event()
        self.let_go = threading.Event()
        self.done = threading.Event()
        self.abandoned: list[str] = []

    def run(self) -> None:
        self.started.set()
        self.let_go.wait(10)
        self.done.set()

    async def run_async(self) -> None:
        self.started.set()
        while not self.let_go.is_set():  # noqa: ASYNC110 - let go from a test, which is no task
            await asyncio.sleep(0.001)
        self.done.set()

    def abandon(self, code: str) -> None:
        self.abandoned.append(code)


def test_jobs_run_in_the_background_and_closing_waits_for_them() -> None:
    mirrors, job = Mirrors(), Job()
    mirrors.submit(job)
    assert job.started.wait(10)
    threading.Timer(0.05, job.let_go.set).start()
    mirrors.close(10)
    assert job.done.is_set()
    assert job.abandoned == []


def test_a_job_beyond_the_bound_is_refused_at_once_and_says_why() -> None:
    mirrors, first, second, third = Mirrors(workers=1, backlog=2), Job(), Job(), Job()
    for job in (first, second, third):
        mirrors.submit(job)
    assert third.abandoned == ["mirror_overloaded"]
    first.let_go.set()
    second.let_go.set()
    mirrors.close(10)
    assert first.done.is_set()
    assert second.done.is_set()
    assert not third.started.is_set()


def test_room_is_free_again_when_a_job_is_done() -> None:
    mirrors, first, second = Mirrors(workers=1, backlog=1), Job(), Job()
    first.let_go.set()
    mirrors.submit(first)
    assert first.done.wait(10)
    mirrors.settle(10)
    second.let_go.set()
    mirrors.submit(second)
    mirrors.close(10)
    assert second.done.is_set()
    assert second.abandoned == []


def test_what_is_unfinished_when_the_time_is_up_is_abandoned_and_nothing_more_is_taken() -> None:
    mirrors, slow, late = Mirrors(), Job(), Job()
    mirrors.submit(slow)
    mirrors.close(0.01)
    assert slow.abandoned == ["mirror_abandoned"]
    mirrors.submit(late)
    assert late.abandoned == ["mirror_overloaded"]
    slow.let_go.set()


def test_a_task_that_its_loop_cancels_is_abandoned() -> None:
    mirrors, finished, cancelled = Mirrors(), Job(), Job()

    async def main() -> None:
        mirrors.submit_async(finished)
        mirrors.submit_async(cancelled)
        finished.let_go.set()
        await asyncio.to_thread(finished.done.wait, 10)
        await asyncio.to_thread(cancelled.started.wait, 10)

    asyncio.run(main())
    assert finished.done.is_set()
    assert finished.abandoned == []
    assert cancelled.abandoned == ["mirror_abandoned"]


def test_outside_of_asyncio_a_job_is_given_up_instead_of_raising() -> None:
    mirrors, job = Mirrors(), Job()
    mirrors.submit_async(job)
    assert job.abandoned == ["mirror_unsupported_loop"]
    assert mirrors.settle(0)
