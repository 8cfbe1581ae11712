"""Rollouts, leases, evidence and cursors in SQL (`rollout.ports.RolloutTransaction`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import sqlalchemy as sa

from trimtab.core.errors import ConflictError
from trimtab.rollout.model import LIVE_STATES, Holdout, Rollout, Transition
from trimtab.rollout.ports import Cursor, Lease, PlanVersion
from trimtab.storage import schema as t
from trimtab.storage.refusals import active_conflict, next_lease, require_lease, version_conflict
from trimtab.storage.sql_tables import SqlTables

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["SqlRollouts"]


class SqlRollouts(SqlTables):
    """Rollouts, leases, evidence and cursors."""

    def plan(self, feature: str) -> PlanVersion | None:
        columns = t.plan.c
        query = sa.select(columns.body).where(columns.feature == feature)
        return self.one(PlanVersion, query.order_by(columns.number.desc()).limit(1))

    def add_plan(self, plan: PlanVersion) -> None:
        self.require_feature(plan.feature)
        self.insert(
            t.plan,
            ConflictError("plan_exists", f"plan {plan.number} of `{plan.feature}` is stored already"),
            feature=plan.feature,
            number=plan.number,
            digest=plan.digest,
            body=msgspec.json.encode(plan),
        )

    def rollout(self, rollout_id: str) -> Rollout | None:
        return self.one(Rollout, sa.select(t.rollout.c.body).where(t.rollout.c.id == rollout_id))

    def active_rollout(self, feature: str, environment: str) -> Rollout | None:
        columns = t.rollout.c
        query = sa.select(columns.body).where(
            columns.feature == feature, columns.environment == environment, columns.live
        )
        return self.one(Rollout, query)

    def active_rollouts(self, environment: str | None = None) -> list[Rollout]:
        columns = t.rollout.c
        query = (
            sa.select(columns.body).where(columns.live).order_by(*self.in_order(columns.feature, columns.environment))
        )
        return self.many(Rollout, query if environment is None else query.where(columns.environment == environment))

    def rollouts(self, feature: str, *, limit: int = 20) -> list[Rollout]:
        columns = t.rollout.c
        query = sa.select(columns.body).where(columns.feature == feature).order_by(columns.id.desc()).limit(limit)
        return self.many(Rollout, query)

    def add_rollout(self, rollout: Rollout) -> None:
        self.require_feature(rollout.feature)
        self.insert(
            t.rollout,
            active_conflict(rollout),
            id=rollout.id,
            feature=rollout.feature,
            environment=rollout.environment,
            live=rollout.state in LIVE_STATES,
            version=rollout.version,
            body=msgspec.json.encode(rollout),
        )

    def save_rollout(self, rollout: Rollout, *, expected_version: int) -> None:
        columns = t.rollout.c
        changed = self.run_unique(
            sa.update(t.rollout)
            .where(columns.id == rollout.id, columns.version == expected_version)
            .values(live=rollout.state in LIVE_STATES, version=rollout.version, body=msgspec.json.encode(rollout)),
            active_conflict(rollout),
        )
        if not changed:
            raise version_conflict(rollout, expected_version)

    def add_transition(self, transition: Transition) -> None:
        columns = t.transition.c
        count = sa.select(sa.func.count()).where(columns.rollout == transition.rollout)
        position = self.rows(count)[0][0]
        self.run(
            sa.insert(t.transition).values(
                rollout=transition.rollout, position=position, body=msgspec.json.encode(transition)
            )
        )

    def transitions(self, rollout_id: str) -> list[Transition]:
        columns = t.transition.c
        query = sa.select(columns.body).where(columns.rollout == rollout_id).order_by(columns.position)
        return self.many(Transition, query)

    def lease(self, name: str) -> Lease | None:
        rows = self.rows(sa.select(t.lease).where(t.lease.c.name == name))
        return Lease(**rows[0]._mapping) if rows else None  # noqa: SLF001 - SQLAlchemy's public name

    def acquire_lease(self, name: str, *, holder: str, now_ms: int, ttl_ms: int, address: str = "") -> Lease | None:
        stored = self.lease(name)
        lease = next_lease(stored, name, holder=holder, now_ms=now_ms, ttl_ms=ttl_ms, address=address)
        if lease is not None:
            self._put_lease(lease, known=stored is not None)
        return lease

    def check_lease(self, lease: Lease, *, now_ms: int) -> None:
        require_lease(self.lease(lease.name), lease, now_ms=now_ms)

    def release_lease(self, lease: Lease) -> None:
        stored = self.lease(lease.name)
        if stored is not None and (stored.holder, stored.epoch) == (lease.holder, lease.epoch):
            self._put_lease(msgspec.structs.replace(stored, expires_at_ms=0), known=True)

    def _put_lease(self, lease: Lease, *, known: bool) -> None:
        values = msgspec.structs.asdict(lease)
        if known:
            self.run(sa.update(t.lease).where(t.lease.c.name == lease.name).values(**values))
        else:
            self.run(sa.insert(t.lease).values(**values))

    def evidence(self, rollout_id: str) -> bytes | None:
        bodies = self.bodies(sa.select(t.evidence.c.state).where(t.evidence.c.rollout == rollout_id))
        return bodies[0] if bodies else None

    def save_evidence(self, rollout_id: str, state: bytes) -> None:
        changed = self.run(sa.update(t.evidence).where(t.evidence.c.rollout == rollout_id).values(state=state))
        if not changed:
            self.run(sa.insert(t.evidence).values(rollout=rollout_id, state=state))

    def counted_units(self, rollout_id: str) -> set[str]:
        return {row[0] for row in self.rows(sa.select(t.counted_unit.c.unit).filter_by(rollout=rollout_id))}

    def add_counted_units(self, rollout_id: str, keys: Iterable[str]) -> None:
        rows = [{"rollout": rollout_id, "unit": key} for key in sorted(set(keys))]
        if rows:
            self.insert_new(t.counted_unit, rows)

    def pasts(self, rollout_id: str) -> dict[str, bytes]:
        columns = t.past.c
        query = sa.select(columns.unit, columns.body).where(columns.rollout == rollout_id)
        return {row.unit: row.body for row in self.rows(query)}

    def save_pasts(self, rollout_id: str, pasts: Mapping[str, bytes]) -> None:
        if not pasts:
            return
        columns = t.past.c
        stale = sa.delete(t.past).where(columns.rollout == rollout_id, columns.unit == sa.bindparam("key"))
        self.run(stale, [{"key": key} for key in sorted(pasts)])
        rows = [{"rollout": rollout_id, "unit": key, "body": data} for key, data in sorted(pasts.items())]
        self.run(sa.insert(t.past), rows)

    def cursors(self, consumer: str) -> list[Cursor]:
        query = sa.select(t.cursor).where(t.cursor.c.consumer == consumer).order_by(*self.in_order(t.cursor.c.process))
        return [Cursor(**row._mapping) for row in self.rows(query)]  # noqa: SLF001 - SQLAlchemy's public name

    def save_cursors(self, cursors: Iterable[Cursor]) -> None:
        for cursor in cursors:
            values = msgspec.structs.asdict(cursor)
            key = {"consumer": cursor.consumer, "process": cursor.process}
            if not self.run(sa.update(t.cursor).filter_by(**key).values(**values)):
                self.run(sa.insert(t.cursor).values(**values))

    def holdouts(self, environment: str) -> list[Holdout]:
        columns = t.holdout.c
        query = (
            sa.select(columns.body).where(columns.environment == environment).order_by(*self.in_order(columns.feature))
        )
        return self.many(Holdout, query)

    def put_holdout(self, holdout: Holdout) -> None:
        key = {"environment": holdout.environment, "feature": holdout.feature}
        body = msgspec.json.encode(holdout)
        if not self.run(sa.update(t.holdout).filter_by(**key).values(body=body)):
            self.run(sa.insert(t.holdout).values(**key, body=body))
