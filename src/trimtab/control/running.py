"""Which version is running right now? The snapshot says what is declared, the processes say what traffic saw.

Reads plain files only, so it answers in a moment and with the control plane dead.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

import msgspec

from trimtab.analysis.mirrors import MirrorTally
from trimtab.control.reports import (
    FeatureRunning,
    MirrorReport,
    ProcessRunning,
    RolloutRunning,
    RunningReport,
    SeenRelease,
)
from trimtab.core.errors import NotFoundError
from trimtab.serving.machine_report import read_statuses
from trimtab.serving.process_status import stale_reason
from trimtab.serving.snapshot import Snapshot
from trimtab.serving.snapshot_file import read_snapshot

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trimtab.serving.directory import DataDirectory
    from trimtab.serving.process_status import ProcessStatus
    from trimtab.serving.snapshot import Route

__all__ = ["read_running", "running_report"]

_MINUTE_MS = 60_000


def read_running(
    directory: DataDirectory, *, environment: str, feature: str | None, window_minutes: int, now_ms: int
) -> RunningReport:
    """Return the report from the files of a data directory.

    Raises `NotFoundError` for a feature that is not served, `StorageError` for a snapshot that cannot be read.
    """
    snapshot = read_snapshot(directory.snapshot(environment))
    if snapshot is None:
        snapshot = Snapshot(revision=0, environment=environment, published_at_ms=0)
    statuses = read_statuses(directory, environment=environment, now_ms=now_ms)
    report = running_report(snapshot, statuses, window_minutes=window_minutes, now_ms=now_ms)
    if feature is None:
        return report
    found = [one for one in report.features if one.feature == feature]
    if not found:
        close = difflib.get_close_matches(feature, [one.feature for one in report.features], n=1)
        raise NotFoundError(
            "unknown_feature",
            f"`{environment}` serves no feature `{feature}`",
            param="feature",
            hint=f"did you mean `{close[0]}`?" if close else "trimtab running lists what it serves",
        )
    return msgspec.structs.replace(report, features=found)


def running_report(
    snapshot: Snapshot, statuses: Sequence[ProcessStatus], *, window_minutes: int, now_ms: int
) -> RunningReport:
    """Put declaration and observation side by side. Pure."""
    since_ms = now_ms - window_minutes * _MINUTE_MS
    return RunningReport(
        environment=snapshot.environment,
        revision=snapshot.revision,
        published_at_ms=snapshot.published_at_ms,
        at_ms=now_ms,
        window_minutes=window_minutes,
        features=[_feature(snapshot, route, statuses, since_ms) for route in snapshot.routes],
        processes=[_process(snapshot, status, since_ms, now_ms) for status in statuses],
    )


def _feature(snapshot: Snapshot, route: Route, statuses: Sequence[ProcessStatus], since_ms: int) -> FeatureRunning:
    rollout = route.rollout
    return FeatureRunning(
        feature=route.feature,
        team=route.team,
        stable=_label(snapshot, route.stable),
        stable_digest=route.stable,
        rollout=None
        if rollout is None
        else RolloutRunning(
            id=rollout.id,
            candidate=_label(snapshot, rollout.candidate),
            candidate_digest=rollout.candidate,
            state=rollout.state,
            stage=rollout.stage,
            weight=rollout.weight,
            control_weight=rollout.control_weight,
            shadow=rollout.shadow,
            challengers={_label(snapshot, one.release): one.end - one.start for one in rollout.challengers},
            withdrawn_by=sorted(status.process for status in statuses if rollout.id in status.withdrawn),
            mirrors=MirrorReport.of(_mirrors(rollout.id, statuses)),
        ),
        seen=_seen(route.feature, statuses, since_ms),
    )


def _mirrors(rollout: str, statuses: Sequence[ProcessStatus]) -> MirrorTally:
    tally = MirrorTally()
    for count in (one for status in statuses for one in status.mirrors if one.rollout == rollout):
        tally.add(count.status, count.code, requests=count.requests, cost_usd=count.cost_usd)
    return tally


def _seen(feature: str, statuses: Sequence[ProcessStatus], since_ms: int) -> list[SeenRelease]:
    counts: dict[tuple[int, str, str], dict[str, int]] = {}
    for status in statuses:
        for count in status.traffic:
            if count.feature == feature and count.minute_ms + _MINUTE_MS > since_ms:
                by_process = counts.setdefault((count.number, count.release, count.arm), {})
                by_process[status.process] = by_process.get(status.process, 0) + count.requests
    answered = sum(sum(by.values()) for (_, _, arm), by in counts.items() if arm != "shadow")
    seen = []
    for (number, digest, arm), by_process in sorted(counts.items()):
        requests = sum(by_process.values())
        seen.append(
            SeenRelease(
                release=f"{feature}#{number}",
                digest=digest,
                arm=arm,
                requests=requests,
                share=0.0 if arm == "shadow" or not answered else requests / answered,
                by_process=by_process,
            )
        )
    return seen


def _process(snapshot: Snapshot, status: ProcessStatus, since_ms: int, now_ms: int) -> ProcessRunning:
    return ProcessRunning(
        id=status.process,
        kind=status.kind,
        pid=status.pid,
        host=status.host,
        machine=status.machine,
        revision=status.revision,
        heartbeat_age_seconds=max(0, now_ms - status.heartbeat_ms) / 1000,
        requests=sum(count.requests for count in status.traffic if count.minute_ms + _MINUTE_MS > since_ms),
        stale=stale_reason(
            status, declared_revision=snapshot.revision, published_ms=snapshot.published_at_ms, now_ms=now_ms
        ),
        problem=status.problem,
        without_content=status.without_content,
        dropped=status.dropped,
    )


def _label(snapshot: Snapshot, digest: str) -> str:
    release = snapshot.releases.get(digest)
    return f"{release.feature}#{release.number}" if release else digest
