"""Work spread over processes, in order, and gone as soon as nobody waits for it any more."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

__all__ = ["Spread", "workers"]

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class Spread(Protocol):
    """A `map` that may work on several items at a time; results come in the order of the items."""

    def __call__(self, function: Callable[[_Item], _Result], items: Sequence[_Item], /) -> Iterable[_Result]: ...


@contextlib.contextmanager
def workers(processes: int | None = None) -> Iterator[Spread]:
    """Yield a `map` over processes, one per core by default; in this one where one is wanted. Ends them on the way out.

    Functions and items are pickled. An interrupt is this process's to hear: the others end with it.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    count = processes or cores
    if count == 1:
        yield map
        return
    # Not forked: whoever rehearses may have threads.
    with multiprocessing.get_context("spawn").Pool(count, initializer=_leave_interrupts_to_the_parent) as pool:
        yield pool.imap


def _leave_interrupts_to_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
