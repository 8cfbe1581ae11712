"""When a controller publishes: when what is in force is not what the store says, and not once more."""

from __future__ import annotations

import msgspec
import pytest

from trimtab.core.clock import FakeClock
from trimtab.events import Feedback
from trimtab.releases.model import Feature, PointerMove
from trimtab.rollout.controller import CONSUMER, Controller, ControllerPorts
from trimtab.rollout.publishing import no_prices, publish_into
from trimtab.rollout.simulation import EventQueue, SnapshotBoard, synthetic_release
from trimtab.storage.memory import MemoryStore


class Place:
    """A store with one feature, its controller, and a board that stands for the snapshot files."""

    def __init__(self) -> None:
        self.store, self.board, self.clock, self.events = MemoryStore(), SnapshotBoard(), FakeClock(), EventQueue()
        with self.store.write() as tx:
            tx.put_feature(Feature(name="f", team="t"))
        self.moves = 0
        self.move()
        self.controller = self.new_controller("first")

    def new_controller(self, name: str) -> Controller:
        ports = ControllerPorts(store=self.store, events=self.events, publisher=self.board, clock=self.clock)
        return Controller(ports, holder=name)

    def move(self) -> None:
        releases = [synthetic_release("f", number) for number in (self.moves, self.moves + 1)]
        self.moves += 1
        with self.store.write() as tx:
            tx.add_release(releases[1])
            tx.move_pointer(
                PointerMove(
                    feature="f",
                    environment="e",
                    revision=self.moves,
                    from_release=releases[0].digest if self.moves > 1 else None,
                    to_release=releases[1].digest,
                    at_ms=1,
                    actor="ada",
                    reason="r",
                )
            )

    def somebody_publishes(self) -> None:
        with self.store.write() as tx:
            snapshot = publish_into(tx, "e", now_ms=1, prices=no_prices)
        self.board.publish(snapshot)

    def tick(self) -> list[str]:
        return self.controller.tick().published

    @property
    def stored(self) -> int:
        with self.store.read() as tx:
            return tx.published_revisions()["e"]


@pytest.fixture
def place() -> Place:
    made = Place()
    assert (made.tick(), made.tick()) == (["e"], [])
    return made


def test_what_changed_is_published_once(place: Place) -> None:
    place.move()
    assert (place.tick(), place.tick()) == (["e"], [])
    assert place.stored == place.board.published_revision("e") == 2


def test_what_somebody_else_published_is_not_published_again(place: Place) -> None:
    place.move()
    place.somebody_publishes()
    assert (place.tick(), place.tick()) == ([], [])
    assert place.stored == 2


def test_what_was_published_elsewhere_reaches_the_files_here(place: Place) -> None:
    with place.store.write() as tx:
        publish_into(tx, "e", now_ms=1, prices=no_prices)  # by another node: our files know nothing of it
    assert place.tick() == []
    assert place.board.published_revision("e") == place.stored == 2


def test_files_that_are_gone_come_back(place: Place) -> None:
    place.board.snapshots.clear()
    assert place.tick() == []
    assert place.board.published_revision("e") == 1


def test_after_a_restore_data_planes_get_a_revision_that_they_take(place: Place) -> None:
    place.board.snapshots["e"] = msgspec.structs.replace(place.board.snapshots["e"], revision=41)
    assert (place.tick(), place.tick()) == (["e"], [])
    assert place.stored == place.board.published_revision("e") == 42


def test_a_data_plane_that_claims_the_absurd_is_not_believed(place: Place) -> None:
    with place.store.write() as tx:
        assert publish_into(tx, "e", now_ms=1, prices=no_prices, above=2**62).revision == 2


def test_a_board_that_claims_the_absurd_makes_nobody_publish_for_ever(place: Place) -> None:
    place.board.snapshots["e"] = msgspec.structs.replace(place.board.snapshots["e"], revision=2**40)
    assert (place.tick(), place.tick()) == ([], [])
    assert place.stored == 1


def test_where_no_rollout_is_live_what_was_read_is_saved_all_the_same(place: Place) -> None:
    def saved() -> int:
        with place.store.read() as tx:
            return sum(cursor.sequence for cursor in tx.cursors(CONSUMER))

    for number in range(2):
        event = Feedback(
            id=f"fb_{number}", at_ms=1, feature="f", environment="e", generation="gen_x", name="thumb", value=1.0
        )
        place.events.append(event)
        place.tick()
        assert saved() == 1  # the second so soon after the first can wait
    place.clock.advance(10)
    place.tick()
    assert saved() == 2  # and needs no third


def test_who_begins_to_lead_publishes_once_for_prices_and_code_may_be_newer(place: Place) -> None:
    place.controller.stop()
    place.controller = place.new_controller("second")
    assert (place.tick(), place.tick()) == (["e"], [])
    assert place.stored == 2
