"""Rollouts, leases, evidence and cursors: the same in memory and in SQLite."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from trimtab.core.errors import ConflictError, FencedError
from trimtab.releases.model import Feature
from trimtab.rollout.model import GateAnswer, Holdout, Rollout, Transition
from trimtab.rollout.outbox import Message
from trimtab.rollout.ports import Cursor, PlanVersion
from trimtab.serving.snapshot import Band

if TYPE_CHECKING:
    from trimtab.rollout.ports import ControlStore

NOW_MS = 1_760_000_000_000


def rollout(identifier: str = "ro_1", **changes: object) -> Rollout:
    first = Rollout(
        id=identifier,
        feature="f",
        environment="production",
        stable="sha256:1",
        candidate="sha256:2",
        plan=b"{}",
        salt="salt",
        state="validating",
        created_at_ms=NOW_MS,
        created_by="ada",
        updated_at_ms=NOW_MS,
    )
    return msgspec.structs.replace(first, **changes)


@pytest.fixture(autouse=True)
def _feature(store: ControlStore) -> None:
    with store.write() as tx:
        tx.put_feature(Feature(name="f", team="t"))


def test_a_feature_has_one_live_rollout_per_environment(store: ControlStore) -> None:
    with store.write() as tx:
        tx.add_rollout(rollout("ro_1"))
        tx.add_rollout(rollout("ro_2", environment="staging"))
    with pytest.raises(ConflictError, match="under way"), store.write() as tx:
        tx.add_rollout(rollout("ro_3"))
    with store.write() as tx:
        tx.save_rollout(rollout("ro_1", state="rolled_back", version=1), expected_version=0)
        tx.add_rollout(rollout("ro_3"))
    with store.read() as tx:
        assert [r.id for r in tx.rollouts("f")] == ["ro_3", "ro_2", "ro_1"]
        assert [r.id for r in tx.active_rollouts()] == ["ro_3", "ro_2"]
        assert [r.id for r in tx.active_rollouts("staging")] == ["ro_2"]
        active = tx.active_rollout("f", "production")
        assert active is not None
        assert active.id == "ro_3"


def test_saving_over_somebody_elses_change_is_fenced(store: ControlStore) -> None:
    with store.write() as tx:
        tx.add_rollout(rollout())
        tx.save_rollout(rollout(state="shadowing", version=1), expected_version=0)
    with pytest.raises(FencedError), store.write() as tx:
        tx.save_rollout(rollout(state="promoted", version=1), expected_version=0)
    with store.read() as tx:
        stored = tx.rollout("ro_1")
        assert stored is not None
        assert stored.state == "shadowing"


def test_history_stays_in_order(store: ControlStore) -> None:
    steps = [
        Transition(
            rollout="ro_1", at_ms=NOW_MS, from_state="a", to_state="progressing", stage=i, actor="c", reason=str(i)
        )
        for i in range(5)
    ]
    for step in steps:
        with store.write() as tx:
            tx.add_transition(step)
    with store.read() as tx:
        assert tx.transitions("ro_1") == steps
        assert tx.transitions("ro_2") == []


def test_a_lease_changes_hands_only_when_it_ran_out_or_was_given_back(store: ControlStore) -> None:
    with store.write() as tx:
        first = tx.acquire_lease("c", holder="a", now_ms=NOW_MS, ttl_ms=1000)
        assert first is not None
        assert tx.acquire_lease("c", holder="b", now_ms=NOW_MS + 999, ttl_ms=1000) is None
        renewed = tx.acquire_lease("c", holder="a", now_ms=NOW_MS + 999, ttl_ms=1000)
        assert renewed is not None
        assert (renewed.epoch, renewed.expires_at_ms) == (first.epoch, NOW_MS + 1999)
        taken = tx.acquire_lease("c", holder="b", now_ms=NOW_MS + 2000, ttl_ms=1000)
        assert taken is not None
        assert taken.epoch == first.epoch + 1
        with pytest.raises(FencedError):
            tx.check_lease(renewed, now_ms=NOW_MS + 2000)
        tx.check_lease(taken, now_ms=NOW_MS + 2000)
        with pytest.raises(FencedError):
            tx.check_lease(taken, now_ms=NOW_MS + 3000)
        tx.release_lease(taken)
        again = tx.acquire_lease("c", holder="a", now_ms=NOW_MS + 2001, ttl_ms=1000)
        assert again is not None
        assert again.epoch == taken.epoch + 1


def test_a_clock_set_back_leaves_nobody_waiting_for_a_lease_of_the_future(store: ControlStore) -> None:
    with store.write() as tx:
        tx.acquire_lease("c", holder="a", now_ms=NOW_MS, ttl_ms=1000)
        assert tx.acquire_lease("c", holder="b", now_ms=NOW_MS - 30_000, ttl_ms=1000) is None
        heir = tx.acquire_lease("c", holder="b", now_ms=NOW_MS - 3_600_000, ttl_ms=1000)
        assert heir is not None
        assert (heir.holder, heir.epoch) == ("b", 2)


def test_evidence_cursors_and_units_commit_together_or_not_at_all(store: ControlStore) -> None:
    cursor = Cursor(consumer="c", process="p", segment="0", offset=1, sequence=2)
    with store.write() as tx:
        tx.save_evidence("ro_1", b"one")
        tx.add_counted_units("ro_1", ["a", "b"])
        tx.save_cursors([cursor])
    with pytest.raises(RuntimeError), store.write() as tx:
        tx.save_evidence("ro_1", b"two")
        tx.add_counted_units("ro_1", ["b", "c"])
        tx.save_cursors([msgspec.structs.replace(cursor, sequence=9)])
        raise RuntimeError
    with store.read() as tx:
        assert tx.evidence("ro_1") == b"one"
        assert tx.counted_units("ro_1") == {"a", "b"}
        assert tx.cursors("c") == [cursor]
        assert (tx.evidence("ro_2"), tx.counted_units("ro_2"), tx.cursors("d")) == (None, set(), [])
    with store.write() as tx:
        tx.add_counted_units("ro_1", ["b", "c"])  # a repeat is no error
        tx.save_cursors([msgspec.structs.replace(cursor, sequence=9)])
    with store.read() as tx:
        assert tx.counted_units("ro_1") == {"a", "b", "c"}
        assert tx.cursors("c")[0].sequence == 9


def test_the_newest_plan_wins_and_old_ones_stay(store: ControlStore) -> None:
    plan = PlanVersion(digest="sha256:1", feature="f", number=1, source=b"{}", created_at_ms=1, created_by="a")
    with store.write() as tx:
        assert tx.plan("f") is None
        tx.add_plan(plan)
        tx.add_plan(msgspec.structs.replace(plan, number=2, digest="sha256:2"))
    with pytest.raises(ConflictError), store.write() as tx:
        tx.add_plan(plan)
    with store.read() as tx:
        newest = tx.plan("f")
        assert newest is not None
        assert newest.number == 2


def test_snapshot_revisions_only_grow(store: ControlStore) -> None:
    with store.write() as tx:
        assert [tx.next_snapshot_revision("production") for _ in range(3)] == [1, 2, 3]
        assert tx.next_snapshot_revision("dev") == 1
    with store.read() as tx:
        assert (tx.snapshot_revision("production"), tx.snapshot_revision("none")) == (3, 0)


def note(number: int, *, due_at_ms: int = NOW_MS, rollout: str = "ro_1") -> Message:
    return Message(
        id=f"msg_{number}",
        rollout=rollout,
        event="paused",
        url_env="HOOK",
        body=b"{}",
        created_at_ms=NOW_MS + number,
        due_at_ms=due_at_ms,
    )


def test_messages_wait_until_they_are_due_and_stay_on_record_once_settled(store: ControlStore) -> None:
    with store.write() as tx:
        for message in (note(2), note(1), note(3, due_at_ms=NOW_MS + 1000), note(4, rollout="ro_2")):
            tx.add_message(message)
    with store.read() as tx:
        assert [one.id for one in tx.due_messages(now_ms=NOW_MS, limit=9)] == ["msg_1", "msg_2", "msg_4"]
        assert [one.id for one in tx.due_messages(now_ms=NOW_MS, limit=1)] == ["msg_1"]
        assert [one.id for one in tx.due_messages(now_ms=NOW_MS + 1000, limit=9)][2] == "msg_3"
    done = msgspec.structs.replace(note(1), status="delivered", settled_at_ms=NOW_MS)
    with store.write() as tx:
        tx.save_message(done)
    with store.read() as tx:
        assert [one.id for one in tx.due_messages(now_ms=NOW_MS, limit=9)] == ["msg_2", "msg_4"]
        assert tx.messages("ro_1") == [done, note(2), note(3, due_at_ms=NOW_MS + 1000)]


def test_old_messages_are_forgotten_once_they_wait_no_more(store: ControlStore) -> None:
    given_up = msgspec.structs.replace(note(1), status="given_up", settled_at_ms=NOW_MS)
    with store.write() as tx:
        for message in (given_up, note(2), msgspec.structs.replace(note(3), status="delivered")):
            tx.add_message(message)
        tx.drop_settled_messages(created_before_ms=NOW_MS + 3)
    with store.read() as tx:
        assert [one.id for one in tx.messages("ro_1")] == ["msg_2", "msg_3"]


def test_a_message_that_waits_for_a_time_before_the_clock_was_set_back_is_due(store: ControlStore) -> None:
    with store.write() as tx:
        tx.add_message(note(1, due_at_ms=NOW_MS + 1000))
    with store.read() as tx:
        assert tx.due_messages(now_ms=NOW_MS - 3_600_000, limit=9)


def test_the_last_answer_of_a_gate_is_kept(store: ControlStore) -> None:
    first = GateAnswer(rollout="ro_1", stage=1, entered_ms=5, status="pending", reason="503", asked_at_ms=6)
    second = msgspec.structs.replace(first, status="approved", asked_at_ms=7)
    with store.write() as tx:
        assert tx.gate_answer("ro_1") is None
        tx.save_gate_answer(first)
        tx.save_gate_answer(second)
    with store.read() as tx:
        assert tx.gate_answer("ro_1") == second


def test_a_holdout_is_replaced_within_its_environment_and_feature_alone(store: ControlStore) -> None:
    def held(environment: str, feature: str, percent: float) -> Holdout:
        return Holdout(
            environment=environment, feature=feature, percent=percent, salt="s", set_at_ms=NOW_MS, set_by="ada"
        )

    with store.write() as tx:
        for holdout in (held("e", "f", 1.0), held("e", "", 2.0), held("dev", "f", 3.0), held("e", "f", 4.5)):
            tx.put_holdout(holdout)
    with store.read() as tx:
        assert tx.holdouts("e") == [held("e", "", 2.0), held("e", "f", 4.5)]
        assert tx.holdouts("dev") == [held("dev", "f", 3.0)]
        assert tx.holdouts("nowhere") == []


def test_a_rollout_keeps_who_may_take_part(store: ControlStore) -> None:
    bands = [Band(kind="layer", name="home", salt="s", start=0.3, end=0.633)]
    with store.write() as tx:
        tx.add_rollout(rollout("ro_1", bands=bands))
    with store.read() as tx:
        assert [one.bands for one in tx.active_rollouts()] == [bands]


def test_what_is_known_of_units_is_kept_by_rollout_and_replaced_by_unit(store: ControlStore) -> None:
    with store.write() as tx:
        tx.save_pasts("ro_1", {"a": b"1", "b": b"2"})
        tx.save_pasts("ro_2", {"a": b"3"})
    with store.write() as tx:
        tx.save_pasts("ro_1", {"b": b"4", "c": b"5"})
        tx.save_pasts("ro_1", {})
    with store.read() as tx:
        assert tx.pasts("ro_1") == {"a": b"1", "b": b"4", "c": b"5"}
        assert tx.pasts("ro_2") == {"a": b"3"}
        assert tx.pasts("ro_3") == {}
