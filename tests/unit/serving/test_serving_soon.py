"""What waits for the journal's thread is bounded, by number and by what it holds."""

from __future__ import annotations

import pytest

from trimtab.events import Event, Exposure
from trimtab.serving.soon import Soon


class Call:
    """A call with some text."""

    def __init__(self, characters: int) -> None:
        self._characters = characters

    def size(self) -> int:
        return self._characters

    def event(self) -> Event:
        return Exposure(id="exp_1", at_ms=0, feature="f", environment="e", release="r")


@pytest.mark.parametrize(("characters", "waiting"), [(0, 20_000), (1_000, 500 + 16_778), (1_000_000, 500 + 17)])
def test_who_outruns_the_journal_writes_for_itself(characters: int, waiting: int) -> None:
    made: list[Event] = []
    soon = Soon(made.append, lambda: None)
    for _ in range(25_000):
        soon.take(Call(characters))
    assert len(made) == 25_000 - waiting
    while soon.make_some():
        pass
    assert len(made) == 25_000
    soon.take(Call(characters))
    assert len(made) == 25_000  # there is room again
