"""Asks the gates that rollouts wait at, off the controller's thread, and leaves their answers in the store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from trimtab.control.outbound import Letter, failure_of
from trimtab.control.under_way import UnderWay
from trimtab.rollout.model import GateAnswer
from trimtab.rollout.spec import decode_plan, seconds

if TYPE_CHECKING:
    from trimtab.control.outbound import Correspondent, Reply
    from trimtab.core.clock import Clock
    from trimtab.rollout.model import GateStatus, Rollout
    from trimtab.rollout.ports import ControlStore, ControlTransaction
    from trimtab.rollout.spec import GateStep

__all__ = ["Gatekeeper", "gate_of", "read_answer"]

_OK = 200


class Gatekeeper:
    """Call :meth:`tick` every half second or so, inside one event loop. Two that ask the same gate do no harm."""

    def __init__(self, *, store: ControlStore, clock: Clock, correspondent: Correspondent) -> None:
        self._store = store
        self._clock = clock
        self._correspondent = correspondent
        self._under_way = UnderWay()

    def tick(self) -> list[str]:
        """Ask every gate that is due, without waiting for it; returns what went wrong since the last call, in words."""
        now_ms = self._clock.now_ms()
        with self._store.read() as tx:
            due = [
                (rollout, gate, _question(tx, rollout))
                for rollout in tx.active_rollouts()
                if rollout.id not in self._under_way
                and (gate := gate_of(rollout)) is not None
                and _is_due(tx.gate_answer(rollout.id), rollout, gate, now_ms)
            ]
        for rollout, gate, question in due[: self._under_way.room]:
            self._under_way.start(rollout.id, self._ask(rollout, gate, question))
        return self._under_way.take_lines()

    async def settle(self, timeout_seconds: float | None = None) -> list[str]:
        """Wait for what is under way, and no longer than that; returns what went wrong, in words."""
        return await self._under_way.settle(timeout_seconds)

    async def _ask(self, rollout: Rollout, gate: GateStep, question: bytes) -> None:
        letter = Letter(
            id=f"gate_{rollout.id}_{rollout.stage}_{rollout.stage_entered_ms}",
            body=question,
            url=gate.url,
            url_env=gate.url_env,
            secret_env=gate.secret_env,
        )
        status, reason = read_answer(await self._correspondent.send(letter))
        answer = GateAnswer(
            rollout=rollout.id,
            stage=rollout.stage,
            entered_ms=rollout.stage_entered_ms,
            status=status,
            reason=reason,
            asked_at_ms=self._clock.now_ms(),
        )
        with self._store.write() as tx:
            known = tx.gate_answer(answer.rollout)
            if _is_news(tx.rollout(answer.rollout), known, answer):
                tx.save_gate_answer(answer)
                if status == "pending" and (known is None or known.reason != reason):
                    self._under_way.tell(f"gate {gate.asked} of {rollout.id}: {reason}")


def gate_of(rollout: Rollout) -> GateStep | None:
    """Return the gate that a rollout waits at."""
    if rollout.state != "progressing" or rollout.stage < 0:
        return None
    return decode_plan(rollout.plan).steps[rollout.stage].gate


def _is_due(last: GateAnswer | None, rollout: Rollout, gate: GateStep, now_ms: int) -> bool:
    if last is None or (last.stage, last.entered_ms) != (rollout.stage, rollout.stage_entered_ms):
        return True
    return last.status == "pending" and abs(now_ms - last.asked_at_ms) >= 1000 * seconds(gate.interval)


def _is_news(rollout: Rollout | None, known: GateAnswer | None, answer: GateAnswer) -> bool:
    """Whether the rollout still waits there, and nobody else has brought a decision meanwhile."""
    asked = (answer.stage, answer.entered_ms)
    if rollout is None or (rollout.stage, rollout.stage_entered_ms) != asked:
        return False
    return known is None or (known.stage, known.entered_ms) != asked or known.status == "pending"


def _question(tx: ControlTransaction, rollout: Rollout) -> bytes:
    def named(digest: str) -> dict[str, str]:
        release = tx.release(digest)
        return {"release": f"{release.feature}#{release.number}" if release else "", "digest": digest}

    return msgspec.json.encode(
        {
            "rollout": rollout.id,
            "feature": rollout.feature,
            "environment": rollout.environment,
            "step": rollout.stage + 1,
            "enteredAt": rollout.stage_entered_ms,
            "stable": named(rollout.stable),
            "candidate": named(rollout.candidate),
            "verdict": {key: rollout.verdict.get(key) for key in ("status", "reason")} if rollout.verdict else None,
        }
    )


def read_answer(reply: Reply | str) -> tuple[GateStatus, str]:
    """Return what a gate said. Only 200 with `{"approved": true}` approves: a login page answers 200 as well."""
    failure = failure_of(reply)
    if failure or isinstance(reply, str):
        return "pending", failure
    try:
        said: Any = msgspec.json.decode(reply.body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        said = None
    if not isinstance(said, dict):
        return "pending", f"answered {reply.status} without a JSON object: is this the gate, or a login page?"
    approved, reason = said.get("approved"), reply.quote(str(said.get("reason") or ""))
    if reply.status == _OK and approved is True:
        return "approved", reason
    if reply.status == _OK and approved is False:
        return "refused", reason or "no reason given"
    return "pending", reason or f"answered {reply.status} without `approved: true` or `approved: false`"
