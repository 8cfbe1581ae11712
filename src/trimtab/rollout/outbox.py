"""Messages to people, written in the transaction of what they tell, and delivered by somebody else afterwards. Pure.

A message that stands in the store is delivered at least once, however often processes die: whoever takes it holds it
for a while, and whoever never comes back loses it to the next. Receivers drop repetitions by its id.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import msgspec

from trimtab.core.ids import new_id
from trimtab.rollout.moves import weight_at
from trimtab.rollout.telling import told

if TYPE_CHECKING:
    from trimtab.rollout.effects import Notify
    from trimtab.rollout.model import Rollout
    from trimtab.rollout.spec import NotifyTarget, RolloutPlan

__all__ = ["KEEP_MS", "LONGEST_WAIT_MS", "Message", "MessageStatus", "claimed", "delivered", "failed", "message"]

HOLD_MS = 30_000
"""How long whoever took a message may work on it before somebody else does."""
_FIRST_WAIT_MS = 1_000
LONGEST_WAIT_MS = 900_000
_GIVE_UP_MS = 86_400_000
"""A target that refused for a day is not told this message any more; that it was not stays visible."""

KEEP_MS = 30 * 86_400_000
"""How long a message stays on record once it waits no more."""

MessageStatus = Literal["waiting", "delivered", "given_up"]


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One message to one target."""

    id: str
    rollout: str
    event: str
    url_env: str
    """Name of the environment variable that holds where it goes."""
    secret_env: str = ""
    """Name of the environment variable that holds what it is signed with; empty where it is not signed."""
    body: bytes
    """The JSON that is sent."""
    created_at_ms: int
    due_at_ms: int
    attempts: int = 0
    status: MessageStatus = "waiting"
    error: str = ""
    """Why the last attempt failed."""
    settled_at_ms: int | None = None


def message(
    target: NotifyTarget,
    notify: Notify,
    rollout: Rollout,
    *,
    plan: RolloutPlan,
    releases: dict[str, str],
    now_ms: int,
) -> Message:
    """Return what a target is told; `releases` says what people call each digest."""
    identifier = new_id("msg", now_ms)
    text = told(notify, rollout, plan, releases=releases)
    facts = {"text": _for_slack(text)}
    if target.format == "json":
        facts = _facts(notify, rollout, plan, releases) | {"id": identifier, "at": now_ms, "text": text}
    return Message(
        id=identifier,
        rollout=rollout.id,
        event=notify.event,
        url_env=target.url_env,
        secret_env=target.secret_env or "",
        body=msgspec.json.encode(facts),
        created_at_ms=now_ms,
        due_at_ms=now_ms,
    )


def _facts(notify: Notify, rollout: Rollout, plan: RolloutPlan, releases: dict[str, str]) -> dict[str, Any]:
    return {
        "event": notify.event,
        "feature": rollout.feature,
        "environment": rollout.environment,
        "rollout": rollout.id,
        "state": rollout.state,
        "pauseReason": rollout.pause_reason,
        "stage": rollout.stage,
        "weight": 100 * weight_at(plan, rollout.stage) if rollout.stage >= 0 else 0.0,
        "actor": notify.actor,
        "reason": notify.text,
        "stable": {"release": releases.get(rollout.stable, ""), "digest": rollout.stable},
        "candidate": {"release": releases.get(rollout.candidate, ""), "digest": rollout.candidate},
    }


def _for_slack(text: str) -> str:
    """Return the text as Slack shows it: its own `&`, `<` and `>` would be eaten, or mention everybody."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def claimed(message: Message, *, now_ms: int) -> Message:
    """Return the message as somebody takes it in hand."""
    return msgspec.structs.replace(message, attempts=message.attempts + 1, due_at_ms=now_ms + HOLD_MS)


def delivered(message: Message, *, now_ms: int) -> Message:
    """Return the message as its target took it."""
    return msgspec.structs.replace(message, status="delivered", error="", settled_at_ms=now_ms)


def failed(message: Message, error: str, *, now_ms: int) -> Message:
    """Return the message after an attempt that failed: due again after 1 s, 2 s, 4 s ... 15 min, for a day."""
    if now_ms - message.created_at_ms >= _GIVE_UP_MS:
        return msgspec.structs.replace(message, status="given_up", error=error, settled_at_ms=now_ms)
    wait_ms = min(_FIRST_WAIT_MS << min(message.attempts - 1, 20), LONGEST_WAIT_MS)
    return msgspec.structs.replace(message, error=error, due_at_ms=now_ms + wait_ms)
