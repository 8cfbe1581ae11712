"""What waits for the journal's thread is bounded, by number and by what it holds."""

from __future__ import annotations

import pytest

from trimtab.events import Event, Exposure
from trimtab.serving.soon import Soon


class Call:
    """What an event is made of."""

    def event(self) -> Event:
        return Exposure(id="exp_1", at_ms=0, feature="f", environment="e", release="r")


@pytest.mark.parametrize(("characters", "waiting"), [(0, 20_000), (1_000, 500 + 16_778), (1_000_000, 500 + 17)])
def test_who_outruns_the_journal_writes_for_itself(characters: int, waiting: int) -> None:
    made: list[Event] = []
    soon = Soon(made.append, lambda: None)
    for _ in range(25_000):
        soon.take(Call(), characters if soon.asks_for_size() else 0)
    assert len(made) == 25_000 - waiting
    while soon.make_some():
        pass
    assert len(made) == 25_000
    soon.take(Call())
    assert len(made) == 25_000  # there is room again


class Stopped(BaseException):
    """What ends a thread: a key pressed, a process told to exit."""


def test_who_is_stopped_while_making_events_loses_none_of_those_behind() -> None:
    made: list[Event] = []

    def record(event: Event) -> None:
        made.append(event)
        if len(made) == 3:
            raise Stopped

    soon = Soon(record, lambda: None)
    for _ in range(10):
        soon.take(Call())
    with pytest.raises(Stopped):
        soon.make_some()
    assert not soon.make_some()
    assert len(made) == 10
