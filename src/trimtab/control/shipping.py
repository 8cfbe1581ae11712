"""Push a feature folder: artifacts, release and plan, in one transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from trimtab.artifacts.change import Change
from trimtab.artifacts.diff import diff_releases
from trimtab.core.ids import digest_of
from trimtab.releases.push import PushedArtifact, push
from trimtab.rollout.plan_file import parse_plan
from trimtab.rollout.ports import PlanVersion
from trimtab.rollout.spec import encode_plan

if TYPE_CHECKING:
    from trimtab.artifacts.source import FeatureSource
    from trimtab.rollout.ports import ControlTransaction

__all__ = ["PushReport", "push_source"]


class PushReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a push stored, and what it changes against the newest release before it."""

    feature: str
    artifacts: list[PushedArtifact]
    release: str
    """`feature#number`."""
    digest: str
    created: bool
    plan_number: int | None
    plan_created: bool
    changes: list[Change]
    warnings: list[str] = []
    """What is allowed but probably not meant, such as a variable no template uses."""


def push_source(tx: ControlTransaction, source: FeatureSource, *, actor: str, now_ms: int, message: str) -> PushReport:
    """Store a feature folder; raises `InputError`, and stores nothing, where anything in it is wrong."""
    plan = None if source.plan is None else encode_plan(parse_plan(source.plan, path=source.plan_path))
    before = tx.latest_release(source.feature)
    result = push(tx, source, actor=actor, now_ms=now_ms, message=message)
    number, plan_created = (None, False) if plan is None else _put_plan(tx, source.feature, plan, actor, now_ms)
    changed = before is not None and before.digest != result.release.digest
    return PushReport(
        feature=source.feature,
        artifacts=result.artifacts,
        release=f"{source.feature}#{result.release.number}",
        digest=result.release.digest,
        created=result.created,
        plan_number=number,
        plan_created=plan_created,
        changes=diff_releases(before.compiled, result.release.compiled) if before and changed else [],
        warnings=list(source.warnings),
    )


def _put_plan(tx: ControlTransaction, feature: str, plan: bytes, actor: str, now_ms: int) -> tuple[int, bool]:
    """Return the plan's number, and whether this push made it; the newest plan is the one in force."""
    newest = tx.plan(feature)
    digest = digest_of(plan)
    if newest is not None and newest.digest == digest:
        return newest.number, False
    number = newest.number + 1 if newest else 1
    tx.add_plan(
        PlanVersion(digest=digest, feature=feature, number=number, source=plan, created_at_ms=now_ms, created_by=actor)
    )
    tx.append_audit(
        at_ms=now_ms,
        actor=actor,
        action="plan.update",
        subject=f"{feature}/rollout@v{number}",
        detail={"digest": digest},
    )
    return number, True
