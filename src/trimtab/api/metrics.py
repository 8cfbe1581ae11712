"""Figures for Prometheus that only the control plane knows, beside those that any process can tell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trimtab.rollout.model import LIVE_STATES
from trimtab.telemetry.exposition import Family, render
from trimtab.telemetry.follower import behind_bytes
from trimtab.telemetry.tally_file import refresh_tally
from trimtab.telemetry.traffic_families import traffic_families

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from trimtab.api.condition import ServerCondition
    from trimtab.control.loop_watch import LoopState
    from trimtab.control.vitals import LiveRollout, Vitals
    from trimtab.evidence.state import EvidenceState, Owed
    from trimtab.rollout.ports import Lease
    from trimtab.serving.directory import DataDirectory

__all__ = ["metrics_page"]

_MS = 1e-3


def metrics_page(condition: ServerCondition) -> bytes:
    """Return everything; what the store would tell is left out while it does not answer (`trimtab_store_up` 0)."""
    now_ms, directory = condition.now_ms(), condition.directory
    families = traffic_families(directory, refresh_tally(directory, now_ms=now_ms), now_ms=now_ms)
    vitals = condition.vitals()
    up = Family("trimtab_store_up", "gauge", "Whether the store of control state answers.")
    up.add(int(vitals is not None))
    families += [up, _intake(condition.intake()), *_loops(condition.loops())]
    if vitals is not None:
        families += _control(vitals, now_ms)
    evidence = condition.compacted()
    if evidence is not None:
        families += [*_evidence(evidence, directory), *_erasures(evidence.owed, now_ms)]
    return render(families)


def _intake(counts: Mapping[str, int]) -> Family:
    spans = Family("trimtab_intake_spans_total", "counter", "Spans that this server was sent, by what became of them.")
    for outcome, count in sorted(counts.items()):
        spans.add(count, outcome=outcome)
    return spans


def _control(vitals: Vitals, now_ms: int) -> list[Family]:
    return [*_lease(vitals.lease, now_ms), *_states(vitals.rollouts), *_verdicts(vitals.rollouts)]


def _lease(lease: Lease | None, now_ms: int) -> list[Family]:
    led = Family("trimtab_controller_led", "gauge", "Whether a controller holds the lease, and which.")
    epoch = Family("trimtab_controller_epoch", "gauge", "How often the lease changed hands.")
    if lease is not None:
        epoch.add(lease.epoch)
        if lease.expires_at_ms > now_ms:
            led.add(1, holder=lease.holder)
    return [led, epoch]


def _states(rollouts: Sequence[LiveRollout]) -> list[Family]:
    state = Family("trimtab_rollout_state", "gauge", "1 for the state that a live rollout is in, 0 for the others.")
    since = Family("trimtab_rollout_step_timestamp_seconds", "gauge", "When the rollout entered its step.")
    for one in rollouts:
        labels = _labels(one)
        since.add(one.rollout.stage_entered_ms * _MS, **labels)
        for name in sorted(LIVE_STATES):
            state.add(int(one.rollout.state == name), **labels, state=name)
    return [state, since]


def _verdicts(rollouts: Sequence[LiveRollout]) -> list[Family]:
    verdict = Family("trimtab_rollout_verdict", "gauge", "1 for what the evidence says of the candidate so far.")
    units = Family("trimtab_rollout_units", "gauge", "Units whose scores count, by arm.")
    harm = Family("trimtab_rollout_harm_wealth", "gauge", "Largest wealth of the bet that a metric is worse.")
    limit = Family("trimtab_rollout_harm_limit", "gauge", "Wealth at which a guardrail rolls the candidate back.")
    good = Family("trimtab_rollout_non_inferior_wealth", "gauge", "Largest wealth of the bet that it is no worse.")
    for one in rollouts:
        if one.verdict is None:
            continue
        labels = _labels(one)
        verdict.add(1, **labels, verdict=one.verdict.status)
        units.add(one.verdict.candidate_units, **labels, arm="candidate")
        units.add(one.verdict.control_units, **labels, arm="matched_control")
        for metric in one.verdict.metrics:
            told = {**labels, "metric": metric.name, "role": metric.role, "phase": metric.phase}
            harm.add(metric.harm_peak, **told)
            limit.add(metric.limit, **told)
            good.add(metric.non_inferior, **told)
    return [verdict, units, harm, limit, good]


def _labels(one: LiveRollout) -> dict[str, str]:
    return {"environment": one.rollout.environment, "feature": one.rollout.feature, "candidate": one.candidate}


def _loops(states: Sequence[LoopState]) -> list[Family]:
    success = Family("trimtab_loop_success_timestamp_seconds", "gauge", "When a loop of this server last did its work.")
    failures = Family("trimtab_loop_failures_total", "counter", "Turns of a loop of this server that failed.")
    for state in states:
        success.add(state.succeeded_ms * _MS, loop=state.name)
        failures.add(state.failures, loop=state.name)
    return [success, failures]


def _evidence(state: EvidenceState, directory: DataDirectory) -> list[Family]:
    files = Family("trimtab_evidence_files", "gauge", "Files of evidence that this machine wrote and that count.")
    rows = Family("trimtab_evidence_rows", "gauge", "Events in them.")
    size = Family("trimtab_evidence_bytes", "gauge", "Their size, in bytes.")
    for kind, held in sorted(state.kinds.items()):
        files.add(held.files, kind=kind)
        rows.add(held.rows, kind=kind)
        size.add(held.size, kind=kind)
    behind = Family("trimtab_compactor_behind_bytes", "gauge", "Bytes of journals that are not in files yet.")
    behind.add(behind_bytes(directory.journals, state.cursors)[1])
    newest = Family("trimtab_evidence_newest_timestamp_seconds", "gauge", "Time of the newest event in files.")
    newest.add(state.newest_ms * _MS)
    return [files, rows, size, behind, newest]


def _erasures(owed: Owed, now_ms: int) -> list[Family]:
    waiting = Family("trimtab_erasures_open", "gauge", "Users to be forgotten that some machine has not forgotten yet.")
    waiting.add(owed.count)
    age = Family("trimtab_erasure_oldest_age_seconds", "gauge", "Age of the oldest of those requests; 0 without any.")
    age.add(max(0, now_ms - owed.oldest_ms) * _MS if owed.count else 0)
    return [waiting, age]
