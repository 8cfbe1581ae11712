"""Messages to people, written in the transaction of what they tell, and delivered by somebody else afterwards. Pure.

A message that stands in the store is delivered at least once, however often processes die: whoever takes it holds it
for a while, and whoever never comes back loses it to the next. Receivers drop repetitions by its id.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from trimtab.core.ids import new_id

if TYPE_CHECKING:
    from trimtab.rollout.effects import Notify
    from trimtab.rollout.model import Rollout
    from trimtab.rollout.spec import NotifyTarget

__all__ = ["LONGEST_WAIT_MS", "Message", "MessageStatus", "claimed", "delivered", "failed", "message"]

HOLD_MS = 60_000
"""How long whoever took a message may work on it before somebody else does."""
_FIRST_WAIT_MS = 1_000
LONGEST_WAIT_MS = 900_000
_GIVE_UP_MS = 86_400_000
"""A target that refused for a day is not told this message any more; that it was not stays visible."""

MessageStatus = Literal["waiting", "delivered", "given_up"]


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One message to one target."""

    id: str
    rollout: str
    event: str
    url_env: str
    """Name of the environment variable that holds where it goes."""
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
    target: NotifyTarget, notify: Notify, rollout: Rollout, *, releases: dict[str, str], now_ms: int
) -> Message:
    """Return what a target is told; `releases` says what people call each digest."""
    identifier = new_id("msg", now_ms)
    facts = {
        "id": identifier,
        "event": notify.event,
        "at": now_ms,
        "feature": rollout.feature,
        "environment": rollout.environment,
        "rollout": rollout.id,
        "state": rollout.state,
        "pauseReason": rollout.pause_reason,
        "stage": rollout.stage,
        "reason": notify.text,
        "stable": {"release": releases.get(rollout.stable, ""), "digest": rollout.stable},
        "candidate": {"release": releases.get(rollout.candidate, ""), "digest": rollout.candidate},
    }
    if target.format == "slack":
        facts = {"text": _slack_text(notify, rollout, releases)}
    return Message(
        id=identifier,
        rollout=rollout.id,
        event=notify.event,
        url_env=target.url_env,
        body=msgspec.json.encode(
            facts if target.format == "json" else {"text": _slack_text(notify, rollout, releases)}
        ),
        created_at_ms=now_ms,
        due_at_ms=now_ms,
    )


def _slack_text(notify: Notify, rollout: Rollout, releases: dict[str, str]) -> str:
    """Return one line for a chat. `&`, `<` and `>` are Slack's own and would be eaten, or mention everybody."""
    what = f"{releases.get(rollout.candidate, rollout.feature)} in {rollout.environment}"
    why = f" ({rollout.pause_reason})" if rollout.pause_reason and notify.event == "paused" else ""
    line = f"{what}: {notify.event.replace('_', ' ')}{why}. {notify.text}"
    return line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


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
