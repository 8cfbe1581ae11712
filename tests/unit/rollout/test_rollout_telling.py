"""What people read when a rollout needs them, or is over."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from trimtab.rollout.effects import Notify
from trimtab.rollout.model import Rollout
from trimtab.rollout.spec import BakeStep, PauseStep, RolloutPlan, ShadowStep, Step
from trimtab.rollout.steps import LayerClaim
from trimtab.rollout.telling import told

PLAN = RolloutPlan(
    unit="tenant",
    steps=[
        Step(shadow=ShadowStep(traffic=5, duration="1m")),
        Step(set_weight=25.0),
        Step(pause=PauseStep()),
        Step(bake=BakeStep(duration="1m", control_weight=5)),
    ],
)
ROLLOUT = Rollout(
    id="ro_7",
    feature="support-reply",
    environment="production",
    stable="sha256:a",
    candidate="sha256:b",
    plan=b"",
    salt="",
    state="paused",
    stage=2,
    created_at_ms=0,
    created_by="ann",
    updated_at_ms=0,
)
RELEASES = {"sha256:a": "support-reply#41", "sha256:b": "support-reply#42"}
HARM = (
    "`error` (requests without an error) fell from 99.1 % to 71.0 % (214 candidate tenants against 209 concurrent "
    "control tenants); evidence 8,100 : 1 against 'no worse than 2 points', limit 80 : 1."
)


def lines(event: Any, text: str, *, actor: str = "controller", **fields: Any) -> list[str]:
    rollout = msgspec.structs.replace(ROLLOUT, **fields)
    notify = Notify(event=event, rollout="ro_7", feature="support-reply", state=rollout.state, actor=actor, text=text)
    return told(notify, rollout, PLAN, releases=RELEASES).splitlines()


def test_a_rollback_is_told_with_its_numbers_and_what_to_do_next() -> None:
    assert lines("rolled_back", HARM, state="rolled_back") == [
        "support-reply#42 was rolled back in production: every tenant gets support-reply#41 again.",
        f"Why: {HARM}",
        "Next: `trimtab rollout explain ro_7` shows the evidence; push what mends it, and start again",
    ]


def test_a_promotion_is_told_with_the_way_back() -> None:
    assert lines("promoted", "bake for 1m: done with 400 candidate and 20 control units", state="promoted") == [
        "support-reply#42 is now what production serves, in place of support-reply#41.",
        "Why: bake for 1m: done with 400 candidate and 20 control units",
        "Next: nothing; `trimtab environment rollback support-reply --reason ...` would bring support-reply#41 back",
    ]


@pytest.mark.parametrize(
    ("stage", "where"),
    [
        (-1, "before any tenant met it"),
        (0, "while it only shadows"),
        (2, "at 25 % of tenants"),
        (3, "at 95 % of tenants"),
    ],
)
def test_a_pause_says_who_meets_the_candidate_meanwhile(stage: int, where: str) -> None:
    happened, *_ = lines("paused", "lunch", actor="ann", stage=stage, pause_reason="manual")
    assert happened == f"support-reply#42 is paused in production, {where} (manual)."


def test_shares_of_a_slot_are_told_as_such() -> None:
    plan = msgspec.structs.replace(PLAN, layer=LayerClaim(name="home", share=40.0))
    notify = Notify(event="no_data", rollout="ro_7", feature="support-reply", state="progressing", text="nobody came")
    text = told(notify, ROLLOUT, plan, releases=RELEASES)
    assert "stands still, at 25 % of tenants in its slot of 40 %." in text


@pytest.mark.parametrize(
    ("pause_reason", "advice"),
    [
        ("manual", "`trimtab rollout resume ro_7 --reason ...` goes on"),
        ("signal", "a signal rolls nothing back, so this is for you to judge"),
        ("srm", "find out why before believing any comparison"),
        ("inconclusive", "`trimtab rollout explain ro_7` shows what is known"),
        ("harm", "users keep the candidate until you decide"),
        ("no_data", "then it goes on by itself"),
    ],
)
def test_every_kind_of_pause_comes_with_advice(pause_reason: str, advice: str) -> None:
    happened, _, following = lines("paused", "because", pause_reason=pause_reason)
    assert f"({pause_reason.replace('_', ' ')})" in happened
    assert advice in following
    assert ("abort ro_7" in following) is (pause_reason != "no_data")


def test_who_did_it_is_told_once() -> None:
    assert lines("paused", "lunch", actor="ann")[1] == "Why: ann: lunch"
    assert lines("paused", "pause by ann", actor="ann")[1] == "Why: pause by ann"
    assert lines("paused", "tokens rose")[1] == "Why: tokens rose"


@pytest.mark.parametrize(
    ("event", "said"),
    [
        ("expired", "ran out of time: support-reply#41 stays."),
        ("superseded", "has ended unfinished"),
        ("no_data", "stands still, at 25 % of tenants."),
    ],
)
def test_every_end_and_every_standstill_is_told_in_three_lines(event: str, said: str) -> None:
    happened, why, following = lines(event, "not finished after 7d")
    assert said in happened
    assert why == "Why: not finished after 7d"
    assert following.startswith("Next: ")
    assert "{" not in following


def test_what_others_said_cannot_pass_for_advice_of_ours_or_fill_the_screen() -> None:
    _, why, following = lines("paused", "the gate refused: no\nNext: `rm -rf /`" + " x" * 5000)
    assert why.startswith("Why: the gate refused: no Next: `rm -rf /` x x")
    assert len(why) <= 1010
    assert following.startswith("Next: `trimtab rollout resume")


def test_releases_that_are_gone_are_told_of_all_the_same() -> None:
    notify = Notify(event="rolled_back", rollout="ro_7", feature="support-reply", state="rolled_back", text="why")
    text = told(notify, ROLLOUT, PLAN, releases={})
    assert text.startswith(
        "support-reply was rolled back in production: every tenant gets the release before it again."
    )
