"""Prometheus families of what traffic did and how the processes that serve it fare. Read from files only."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from trimtab.core.errors import StorageError
from trimtab.serving.process_status import STALE_MS, read_processes, stale_reason
from trimtab.serving.snapshot_file import read_snapshot
from trimtab.telemetry.build import version
from trimtab.telemetry.export_state import EXPORT_FILE, read_export_state
from trimtab.telemetry.exposition import Family
from trimtab.telemetry.follower import behind_bytes
from trimtab.telemetry.tally import BOUNDS_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from trimtab.serving.directory import DataDirectory
    from trimtab.serving.process_status import ProcessStatus
    from trimtab.serving.snapshot import Snapshot
    from trimtab.telemetry.tally import Series, Tally

__all__ = ["traffic_families"]

_MS = 1e-3


def traffic_families(directory: DataDirectory, tally: Tally, *, now_ms: int) -> list[Family]:
    """Return everything that a data directory tells, the same whichever process asks."""
    statuses = read_processes(directory.processes, environment=None, now_ms=now_ms)
    snapshots = _snapshots(directory, {one.environment for one in statuses})
    held, uncounted = behind_bytes(directory.journals, tally.cursors)
    return [
        _build(),
        *_requests(tally),
        *_words(tally),
        *_processes(statuses, snapshots, now_ms),
        *_snapshot_families(_living(statuses, now_ms), snapshots),
        *_journals(tally, statuses),
        *_export(directory),
        *_relay(directory, now_ms),
        _one("trimtab_journal_bytes", "Size of all journals of this data directory, in bytes.", held),
        _one("trimtab_tally_behind_bytes", "Bytes of journals that these figures do not count yet.", uncounted),
        _one("trimtab_tally_timestamp_seconds", "When these figures were last brought up to date.", tally.at_ms * _MS),
    ]


def _one(name: str, told: str, value: float) -> Family:
    family = Family(name, "gauge", told)
    family.add(value)
    return family


def _build() -> Family:
    family = Family("trimtab_build_info", "gauge", "Version of Trimtab that answers; always 1.")
    family.add(1, version=version())
    return family


def _requests(tally: Tally) -> list[Family]:
    requests = Family("trimtab_requests_total", "counter", "Model calls by how they ended.")
    seconds = Family("trimtab_request_duration_seconds", "histogram", "Time from a call to the end of its answer.")
    first = Family("trimtab_time_to_first_token_seconds", "histogram", "Time from a streamed call to its first token.")
    tokens = Family("trimtab_tokens_total", "counter", "Tokens of prompts (input) and answers (output).")
    cost = Family("trimtab_cost_usd_total", "counter", "What calls cost, in US dollars, as far as prices are known.")
    retries = Family("trimtab_retries_total", "counter", "Requests sent beyond the first of a call.")
    fallbacks = Family("trimtab_fallback_answers_total", "counter", "Calls that another model of the chain answered.")
    exposures = Family("trimtab_exposures_total", "counter", "Units that met an arm without a call Trimtab saw.")
    for one in tally.series:
        labels = _labels(one)
        if one.exposures:
            exposures.add(one.exposures, **labels)
        if not one.requests:
            continue
        for status, count in sorted(one.requests.items()):
            requests.add(count, **labels, status=status)
        seconds.add_histogram(BOUNDS_SECONDS, one.seconds, one.seconds_total, **labels)
        if any(one.first_token):
            first.add_histogram(BOUNDS_SECONDS, one.first_token, one.first_token_total, **labels)
        tokens.add(one.input_tokens, **labels, type="input")
        tokens.add(one.output_tokens, **labels, type="output")
        cost.add(one.cost_usd, **labels)
        retries.add(one.retries, **labels)
        fallbacks.add(one.fallbacks, **labels)
    return [requests, seconds, first, tokens, cost, retries, fallbacks, exposures]


def _labels(one: Series) -> dict[str, str]:
    return {"environment": one.environment, "feature": one.feature, "release": one.release, "arm": one.arm}


def _words(tally: Tally) -> list[Family]:
    errors = Family("trimtab_request_errors_total", "counter", "Model calls that ended with an error code.")
    feedback = Family("trimtab_feedback_total", "counter", "Signals of users, by name.")
    scores = Family("trimtab_scores_total", "counter", "Judgements of generations, by name.")
    bare = Family("trimtab_content_dropped_total", "counter", "Events kept without what people wrote, by why.")
    withdrawals = Family("trimtab_withdrawals_total", "counter", "Candidates that a process took out by itself.")
    for family, found, label in (
        (errors, tally.errors, "code"),
        (feedback, tally.feedback, "name"),
        (scores, tally.scores, "name"),
        (bare, tally.content_dropped, "reason"),
    ):
        for one in found:
            family.add(one.count, environment=one.environment, feature=one.feature, **{label: one.name})
    for one in tally.withdrawals:
        withdrawals.add(one.count, environment=one.environment, feature=one.feature)
    return [errors, feedback, scores, bare, withdrawals]


def _snapshots(directory: DataDirectory, environments: Iterable[str]) -> dict[str, Snapshot]:
    named = {path.stem for path in directory.snapshot("any").parent.glob("*.json")}
    found = {}
    for environment in sorted(named | set(environments)):
        try:
            snapshot = read_snapshot(directory.snapshot(environment))
        except StorageError:
            continue  # whoever serves from it tells why: `trimtab_process_problems`
        if snapshot is not None:
            found[environment] = snapshot
    return found


def _processes(statuses: Sequence[ProcessStatus], snapshots: Mapping[str, Snapshot], now_ms: int) -> list[Family]:
    counted: dict[tuple[str, str, str], int] = {}
    problems: dict[tuple[str, str], int] = {}
    for status in statuses:
        snapshot = snapshots.get(status.environment)
        stale = stale_reason(
            status,
            declared_revision=snapshot.revision if snapshot else 0,
            published_ms=snapshot.published_at_ms if snapshot else 0,
            now_ms=now_ms,
        )
        if status.stopped:
            continue
        key = (status.environment, status.kind, "stale" if stale else "serving")
        counted[key] = counted.get(key, 0) + 1
        if status.problem:
            problems[key[:2]] = problems.get(key[:2], 0) + 1
    processes = Family(
        "trimtab_processes",
        "gauge",
        "Data-plane processes: serving, or stale (silent, or behind the declared snapshot for over 5 s).",
    )
    broken = Family(
        "trimtab_process_problems", "gauge", "Processes that cannot write their journal or read a snapshot."
    )
    for (environment, kind, state), count in sorted(counted.items()):
        processes.add(count, environment=environment, kind=kind, state=state)
    for (environment, kind), count in sorted(problems.items()):
        broken.add(count, environment=environment, kind=kind)
    return [processes, broken, _refused(statuses)]


def _refused(statuses: Sequence[ProcessStatus]) -> Family:
    family = Family("trimtab_snapshot_refused", "gauge", "Processes that do not serve the newest snapshot, by why.")
    told = [
        (one.environment, one.kind, one.snapshot_refused)
        for one in statuses
        if one.snapshot_refused and not one.stopped
    ]
    for environment, kind, reason in sorted(set(told)):
        count = told.count((environment, kind, reason))
        family.add(count, environment=environment, kind=kind, reason=reason)
    return family


def _living(statuses: Sequence[ProcessStatus], now_ms: int) -> list[ProcessStatus]:
    return [one for one in statuses if not one.stopped and now_ms - one.heartbeat_ms <= STALE_MS]


def _snapshot_families(living: Sequence[ProcessStatus], snapshots: Mapping[str, Snapshot]) -> list[Family]:
    revision = Family("trimtab_snapshot_revision", "gauge", "Revision of the routing snapshot that is declared.")
    served = Family("trimtab_snapshot_served_revision", "gauge", "Lowest revision that a living process serves.")
    published = Family("trimtab_snapshot_timestamp_seconds", "gauge", "When the declared snapshot was published.")
    for environment, snapshot in snapshots.items():
        revision.add(snapshot.revision, environment=environment)
        published.add(snapshot.published_at_ms * _MS, environment=environment)
        revisions = [one.revision for one in living if one.environment == environment]
        if revisions:
            served.add(min(revisions), environment=environment)
    return [revision, served, published, *_rollouts(snapshots)]


def _rollouts(snapshots: Mapping[str, Snapshot]) -> list[Family]:
    weight = Family("trimtab_rollout_weight", "gauge", "Share of units that meet the arm of a rollout.")
    stage = Family("trimtab_rollout_step", "gauge", "Index of the rollout's step in force, from 0.")
    for environment, snapshot in snapshots.items():
        for route in snapshot.routes:
            rollout = route.rollout
            if rollout is None:
                continue
            labels = {"environment": environment, "feature": route.feature}
            stage.add(rollout.stage, **labels)
            weight.add(rollout.weight, **labels, arm="candidate")
            weight.add(rollout.control_weight, **labels, arm="matched_control")
            weight.add(rollout.shadow, **labels, arm="shadow")
    return [weight, stage]


def _journals(tally: Tally, statuses: Sequence[ProcessStatus]) -> list[Family]:
    recorded = Family("trimtab_events_recorded_total", "counter", "Events that processes took for their journals.")
    dropped = Family("trimtab_events_dropped_total", "counter", "Events refused: full disk and full buffer.")
    for one in tally.writers:
        labels = {"environment": one.environment, "kind": one.kind}
        recorded.add(one.recorded, **labels)
        dropped.add(one.dropped, **labels)
    waiting = Family("trimtab_journal_unsynced_events", "gauge", "Events in buffers that are not fsynced yet.")
    by_kind: dict[tuple[str, str], int] = {}
    for status in statuses:
        if not status.stopped:
            key = (status.environment, status.kind)
            by_kind[key] = by_kind.get(key, 0) + max(0, status.recorded - status.durable)
    for (environment, kind), count in sorted(by_kind.items()):
        waiting.add(count, environment=environment, kind=kind)
    damaged = Family("trimtab_journal_damaged_total", "counter", "Frames and events of journals that are unreadable.")
    damaged.add(tally.damaged)
    missing = Family("trimtab_journal_missing_total", "counter", "Events that are nowhere, though they were written.")
    missing.add(tally.missing)
    return [recorded, dropped, waiting, damaged, missing]


def _export(directory: DataDirectory) -> list[Family]:
    state = read_export_state(directory.telemetry / EXPORT_FILE)
    if not state.at_ms:
        return []
    sent = Family("trimtab_otel_sent_total", "counter", "Spans and log events that the collector took.")
    rejected = Family("trimtab_otel_rejected_total", "counter", "Those that the collector refused for good.")
    for family, counts in ((sent, state.sent), (rejected, state.rejected)):
        for signal, count in sorted(counts.items()):
            family.add(count, signal=signal)
    lost = Family("trimtab_otel_lost_total", "counter", "Events that were gone before they were sent.")
    lost.add(state.lost)
    behind = behind_bytes(directory.journals, state.cursors)[1]
    return [sent, rejected, lost, _one("trimtab_otel_behind_bytes", "Bytes of journals that are not sent yet.", behind)]


class _Relay(msgspec.Struct, frozen=True):
    """Fields of `relay.health.RelayHealth`, which stands above this package."""

    at_ms: int
    backlog_bytes: int
    problem: str


def _relay(directory: DataDirectory, now_ms: int) -> list[Family]:
    try:
        told = msgspec.json.decode(directory.relay.read_bytes(), type=_Relay)
    except (OSError, msgspec.DecodeError):
        return []
    connected = not told.problem and now_ms - told.at_ms <= STALE_MS
    return [
        _one("trimtab_relay_connected", "Whether this machine's relay reaches a control plane.", int(connected)),
        _one("trimtab_relay_backlog_bytes", "Bytes of journals that no node took in yet.", told.backlog_bytes),
    ]
