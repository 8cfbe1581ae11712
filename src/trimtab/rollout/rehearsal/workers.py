"""Work spread over processes, in order, and gone as soon as nobody waits for it any more."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
from multiprocessing import resource_tracker
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

    Functions and items are pickled.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    count = processes or cores
    if count == 1:
        yield map
        return
    # Interrupts are this process's to hear. What it starts meanwhile inherits that they wait, from its first line
    # on; one that comes now is heard after. The tracker would let them through when it starts, so it starts before.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        pool = multiprocessing.get_context("spawn").Pool(count)  # not forked: whoever rehearses may have threads
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    with pool:
        yield pool.imap
