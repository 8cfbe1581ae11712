"""Messages to people. `world` is in conftest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from trimtab.rollout.effects import Notify
from trimtab.rollout.model import Rollout
from trimtab.rollout.outbox import HOLD_MS, LONGEST_WAIT_MS, Message, claimed, delivered, failed, message
from trimtab.rollout.spec import BakeStep, NotifyTarget, RolloutPlan, Step

if TYPE_CHECKING:
    from tests.unit.rollout.conftest import World

DAY_MS = 86_400_000
ROLLOUT = Rollout(
    id="ro_1",
    feature="support-reply",
    environment="production",
    stable="sha256:a",
    candidate="sha256:b",
    plan=b"",
    salt="",
    state="paused",
    pause_reason="signal",
    stage=0,
    created_at_ms=0,
    created_by="ann",
    updated_at_ms=0,
)
PLAN = RolloutPlan(steps=[Step(set_weight=25.0), Step(bake=BakeStep(duration="1s"))])
RELEASES = {"sha256:a": "support-reply#41", "sha256:b": "support-reply#42"}


def told(target: NotifyTarget, text: str = "tokens rose", now_ms: int = 1000) -> Message:
    notify = Notify(event="paused", rollout="ro_1", feature="support-reply", state="paused", text=text)
    return message(target, notify, ROLLOUT, plan=PLAN, releases=RELEASES, now_ms=now_ms)


def test_a_webhook_is_told_everything_that_is_known() -> None:
    sent = told(NotifyTarget(url_env="HOOK"))
    facts: dict[str, Any] = msgspec.json.decode(sent.body)
    assert facts == {
        "id": sent.id,
        "event": "paused",
        "at": 1000,
        "feature": "support-reply",
        "environment": "production",
        "rollout": "ro_1",
        "state": "paused",
        "pauseReason": "signal",
        "stage": 0,
        "weight": 25.0,
        "actor": "controller",
        "reason": "tokens rose",
        "stable": {"release": "support-reply#41", "digest": "sha256:a"},
        "candidate": {"release": "support-reply#42", "digest": "sha256:b"},
        "text": facts["text"],
    }
    assert "support-reply#42 is paused" in facts["text"]
    assert (sent.url_env, sent.secret_env, sent.status, sent.due_at_ms) == ("HOOK", "", "waiting", 1000)


def test_slack_is_told_in_words_that_cannot_mention_everybody() -> None:
    facts = msgspec.json.decode(told(NotifyTarget(url_env="HOOK", format="slack"), "a & <!channel>").body)
    assert set(facts) == {"text"}
    assert "a &amp; &lt;!channel&gt;" in facts["text"]
    assert "<" not in facts["text"]


def test_a_refused_message_is_tried_ever_more_seldom_for_a_day_and_then_stays_visible() -> None:
    sent = told(NotifyTarget(url_env="HOOK"), now_ms=0)
    now_ms, waits = 0, []
    while sent.status == "waiting":
        sent = claimed(sent, now_ms=now_ms)
        assert sent.due_at_ms == now_ms + HOLD_MS
        sent = failed(sent, "answered 500", now_ms=now_ms)
        waits.append(sent.due_at_ms - now_ms)
        now_ms = sent.due_at_ms
    assert waits[:4] == [1000, 2000, 4000, 8000]
    assert max(waits[:-1]) == LONGEST_WAIT_MS
    assert DAY_MS <= now_ms - HOLD_MS <= DAY_MS + LONGEST_WAIT_MS
    assert (sent.status, sent.error) == ("given_up", "answered 500")


def test_a_delivered_message_no_longer_complains() -> None:
    sent = failed(claimed(told(NotifyTarget(url_env="HOOK")), now_ms=0), "answered 500", now_ms=0)
    done = delivered(claimed(sent, now_ms=2000), now_ms=2100)
    assert (done.status, done.error, done.attempts, done.settled_at_ms) == ("delivered", "", 2, 2100)


def test_every_target_is_told_of_what_it_asked_for(world: type[World]) -> None:
    targets = [NotifyTarget(url_env="ALL"), NotifyTarget(url_env="ENDS", format="slack", on=["rolled_back"])]
    made = world(
        plan=RolloutPlan(steps=[Step(set_weight=5.0), Step(bake=BakeStep(duration="1s"))], window="1s", notify=targets)
    )
    made.tick()
    made.command("pause")
    made.command("abort")
    made.tick()
    with made.store.read() as tx:
        sent = [(one.event, one.url_env) for one in tx.messages(made.id)]
        bodies = [msgspec.json.decode(one.body) for one in tx.messages(made.id)]
    assert sorted(sent) == [("paused", "ALL"), ("rolled_back", "ALL"), ("rolled_back", "ENDS")]
    slack = next(body["text"] for body in bodies if set(body) == {"text"})
    assert slack.splitlines()[:2] == ["f#2 was rolled back in e: every user gets f#1 again.", "Why: abort by ann"]
