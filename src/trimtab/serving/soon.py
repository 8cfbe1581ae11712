"""Events that are made soon and not at once, by the journal's thread: for callers to whom a microsecond matters."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final, Protocol

from trimtab.serving.recordable import UNENCODABLE

if TYPE_CHECKING:
    from collections.abc import Callable

    from trimtab.events import Event

__all__ = ["Making", "Soon"]


class Making(Protocol):
    """What an event is made of."""

    def event(self) -> Event:
        """Make it."""
        ...


_FEW: Final = 500
"""As many may wait whatever they hold: nobody looks how much that is."""
_MOST_WAITING: Final = 20_000
_MOST_CHARACTERS: Final = 16 * 1024 * 1024
"""Of what waits beyond the few."""
_AT_ONCE: Final = 500
"""Events made between two looks at how full the journal's buffer is."""
_UNMAKEABLE: Final = (*UNENCODABLE, ArithmeticError, AttributeError, LookupError, RuntimeError)


class Soon:
    """Keeps what events are made of until `make_some` is called. Thread-safe; each is made once, oldest first."""

    def __init__(self, record: Callable[[Event], object], dropped: Callable[[], None]) -> None:
        """`record` takes the events; `dropped` is called for one that could not be made."""
        self._record = record
        self._dropped = dropped
        self._waiting: list[Making] = []
        self._making = threading.Lock()
        self._characters = 0

    def asks_for_size(self) -> bool:
        """Return whether so many wait that `take` is to be told how much the next one holds."""
        return len(self._waiting) >= _FEW

    def take(self, making: Making, characters: int = 0) -> None:
        """Take what an event is made of. Where too much waits it is made now: who outruns the journal pays for it.

        `characters` is about how much content it holds; it may be left at 0 where nobody `asks_for_size`.
        """
        waiting = self._waiting
        if len(waiting) < _MOST_WAITING and self._characters < _MOST_CHARACTERS:
            self._characters += characters
            waiting.append(making)
        else:
            self._make(making)

    def make_some(self) -> bool:
        """Make and record some of what waits; returns whether there is more.

        Waits for another thread that does the same: once there is no more, all that was taken before is recorded.
        """
        waiting = self._waiting
        with self._making:
            made = 0
            try:
                for making in waiting[:_AT_ONCE]:
                    made += 1
                    self._make(making)
            finally:
                del waiting[:made]  # others go on appending behind
        if len(waiting) < _FEW:
            self._characters = 0
        return bool(waiting)

    def _make(self, making: Making) -> None:
        try:
            self._record(making.event())
        except _UNMAKEABLE:  # the thread that writes all the others must live
            self._dropped()
