"""Rollouts, leases, evidence, cursors and the outbox in memory (`rollout.ports.RolloutTransaction`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from trimtab.core.errors import ConflictError
from trimtab.rollout.model import LIVE_STATES, GateAnswer, Rollout, Transition
from trimtab.rollout.outbox import LONGEST_WAIT_MS, Message
from trimtab.storage.memory_tables import MemoryTables
from trimtab.storage.refusals import active_conflict, next_lease, require_lease, version_conflict

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from trimtab.rollout.model import Holdout
    from trimtab.rollout.ports import Cursor, Lease, PlanVersion

__all__ = ["MemoryRollouts"]


class MemoryRollouts(MemoryTables):
    """Rollouts, leases, evidence, cursors and the outbox."""

    def plan(self, feature: str) -> PlanVersion | None:
        found = [plan for key, plan in self.table("plan").items() if key[0] == feature]
        return max(found, key=lambda plan: plan.number, default=None)

    def add_plan(self, plan: PlanVersion) -> None:
        self.require_feature(plan.feature)
        if (plan.feature, plan.number) in self.table("plan"):
            raise ConflictError("plan_exists", f"plan {plan.number} of `{plan.feature}` is stored already")
        self.put("plan", (plan.feature, plan.number), plan)

    def rollout(self, rollout_id: str) -> Rollout | None:
        return self.table("rollout").get(rollout_id)

    def active_rollout(self, feature: str, environment: str) -> Rollout | None:
        identifier = self.table("live_rollout").get((feature, environment))
        return self.table("rollout")[identifier] if identifier else None

    def active_rollouts(self, environment: str | None = None) -> list[Rollout]:
        live = sorted(self.table("live_rollout").items())
        return [self.table("rollout")[i] for (_, place), i in live if environment in (None, place)]

    def rollouts(self, feature: str, *, limit: int = 20) -> list[Rollout]:
        found = [rollout for rollout in self.table("rollout").values() if rollout.feature == feature]
        return sorted(found, key=lambda rollout: rollout.id, reverse=True)[:limit]

    def add_rollout(self, rollout: Rollout) -> None:
        self.require_feature(rollout.feature)
        if self.rollout(rollout.id):
            raise active_conflict(rollout)
        self._store(rollout)

    def save_rollout(self, rollout: Rollout, *, expected_version: int) -> None:
        stored = self.rollout(rollout.id)
        if stored is None or stored.version != expected_version:
            raise version_conflict(rollout, expected_version)
        self._store(rollout)

    def _store(self, rollout: Rollout) -> None:
        key = (rollout.feature, rollout.environment)
        live = self.table("live_rollout").get(key)
        if rollout.state in LIVE_STATES:
            if live not in (None, rollout.id):
                raise active_conflict(rollout)
            self.put("live_rollout", key, rollout.id)
        elif live == rollout.id:
            self.drop("live_rollout", key)
        self.put("rollout", rollout.id, rollout)

    def add_transition(self, transition: Transition) -> None:
        known = self.table("transition").get(transition.rollout, ())
        self.put("transition", transition.rollout, (*known, transition))

    def transitions(self, rollout_id: str) -> list[Transition]:
        return list(self.table("transition").get(rollout_id, ()))

    def lease(self, name: str) -> Lease | None:
        found: Lease | None = self.table("lease").get(name)
        return found

    def acquire_lease(self, name: str, *, holder: str, now_ms: int, ttl_ms: int, address: str = "") -> Lease | None:
        lease = next_lease(self.lease(name), name, holder=holder, now_ms=now_ms, ttl_ms=ttl_ms, address=address)
        if lease is not None:
            self.put("lease", name, lease)
        return lease

    def check_lease(self, lease: Lease, *, now_ms: int) -> None:
        require_lease(self.table("lease").get(lease.name), lease, now_ms=now_ms)

    def release_lease(self, lease: Lease) -> None:
        stored = self.table("lease").get(lease.name)
        if stored is not None and (stored.holder, stored.epoch) == (lease.holder, lease.epoch):
            self.put("lease", lease.name, msgspec.structs.replace(stored, expires_at_ms=0))

    def evidence(self, rollout_id: str) -> bytes | None:
        return self.table("evidence").get(rollout_id)

    def save_evidence(self, rollout_id: str, state: bytes) -> None:
        self.put("evidence", rollout_id, state)

    def counted_units(self, rollout_id: str) -> set[str]:
        return set(self.table(f"counted_unit {rollout_id}"))

    def add_counted_units(self, rollout_id: str, keys: Iterable[str]) -> None:
        for key in keys:
            self.put(f"counted_unit {rollout_id}", key, True)  # noqa: FBT003 - a set as a table

    def pasts(self, rollout_id: str) -> dict[str, bytes]:
        return dict(self.table(f"past {rollout_id}"))

    def save_pasts(self, rollout_id: str, pasts: Mapping[str, bytes]) -> None:
        for key, data in pasts.items():
            self.put(f"past {rollout_id}", key, data)

    def cursors(self, consumer: str) -> list[Cursor]:
        return [cursor for key, cursor in sorted(self.table("cursor").items()) if key[0] == consumer]

    def save_cursors(self, cursors: Iterable[Cursor]) -> None:
        for cursor in cursors:
            self.put("cursor", (cursor.consumer, cursor.process), cursor)

    def add_message(self, message: Message) -> None:
        self.put("outbox", message.id, message)

    def save_message(self, message: Message) -> None:
        self.put("outbox", message.id, message)

    def messages(self, rollout_id: str) -> list[Message]:
        found = (message for message in self.table("outbox").values() if message.rollout == rollout_id)
        return sorted(found, key=_age)

    def due_messages(self, *, now_ms: int, limit: int) -> list[Message]:
        waiting = (message for message in self.table("outbox").values() if message.status == "waiting")
        due = [message for message in waiting if not now_ms < message.due_at_ms <= now_ms + LONGEST_WAIT_MS]
        return sorted(due, key=_age)[:limit]

    def drop_settled_messages(self, *, created_before_ms: int) -> None:
        for message in list(self.table("outbox").values()):
            if message.status != "waiting" and message.created_at_ms < created_before_ms:
                self.drop("outbox", message.id)

    def gate_answer(self, rollout_id: str) -> GateAnswer | None:
        return self.table("gate_answer").get(rollout_id)

    def save_gate_answer(self, answer: GateAnswer) -> None:
        self.put("gate_answer", answer.rollout, answer)

    def holdouts(self, environment: str) -> list[Holdout]:
        return [holdout for key, holdout in sorted(self.table("holdout").items()) if key[0] == environment]

    def put_holdout(self, holdout: Holdout) -> None:
        self.put("holdout", (holdout.environment, holdout.feature), holdout)


def _age(message: Message) -> tuple[int, str]:
    return message.created_at_ms, message.id
