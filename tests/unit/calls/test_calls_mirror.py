from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from trimtab.calls.mirror import MirrorQueue

if TYPE_CHECKING:
    from collections.abc import Callable


class Copy:
    def __init__(self, size: int = 1) -> None:
        self.size = size
        self.done: Callable[[], None] | None = None
        self.dropped = ""

    def start(self, done: Callable[[], None]) -> None:
        self.done = done

    def cancel(self) -> None:
        self.finish()

    def drop(self, code: str) -> None:
        self.dropped = code

    def finish(self) -> None:
        done, self.done = self.done, None
        if done is not None:
            done()


@given(st.lists(st.booleans(), max_size=60), st.integers(1, 4), st.integers(0, 4))
def test_mirrors_are_bounded_and_every_one_is_sent_waiting_or_counted_as_dropped(
    submissions: list[bool], concurrency: int, waiting: int
) -> None:
    queue = MirrorQueue(concurrency=concurrency, waiting=waiting)
    copies: list[Copy] = []
    for submitted in submissions:
        if submitted:
            copies.append(Copy())
            queue.submit(copies[-1])
        elif running := [copy for copy in copies if copy.done]:
            running[0].finish()
        active = sum(copy.done is not None for copy in copies)
        assert active <= concurrency
        assert queue.pending - active <= waiting
        assert active in {queue.pending, concurrency}
    finished = queue.sent - sum(copy.done is not None for copy in copies)
    assert finished + queue.pending + queue.dropped == len(copies)
    assert sum(copy.dropped == "mirror_overloaded" for copy in copies) == queue.dropped
    queue.abandon()
    assert queue.pending == 0
    assert sum(bool(copy.dropped) for copy in copies) == queue.dropped


@given(st.lists(st.integers(1, 50), max_size=40))
def test_what_waits_is_bounded_in_bytes_too(sizes: list[int]) -> None:
    queue = MirrorQueue(concurrency=1, waiting=1000, waiting_bytes=100)
    copies = [Copy(size) for size in sizes]
    for copy in copies:
        queue.submit(copy)
        waiting = [one for one in copies[1:] if not one.dropped and one.done is None]
        assert sum(one.size for one in waiting if one in copies[: copies.index(copy) + 1]) <= 100
    for copy in copies:  # and room is made again as they go
        if copy.done:
            copy.finish()
