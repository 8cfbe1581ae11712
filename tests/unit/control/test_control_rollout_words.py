"""A rollout explained in one paragraph: there is one for every way in which it can stand or end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from trimtab.analysis.model import MetricEvidence
from trimtab.analysis.segments import SegmentEvidence
from trimtab.analysis.verdict import Verdict
from trimtab.control.rollout_reports import RolloutReport, rollout_report
from trimtab.rollout.model import Transition

if TYPE_CHECKING:
    from trimtab.rollout.model import Rollout
    from trimtab.storage.memory import MemoryStore

WORDS = "`schema` fell from 99.0 % to 71.0 % (40 candidate users against 41 concurrent control users)."


def metric(name: str = "schema", **changes: Any) -> MetricEvidence:
    base = MetricEvidence(
        name=name,
        role="guardrail",
        phase="live",
        margin=0.02,
        candidate_mean=0.71,
        control_mean=0.99,
        candidate_units=40,
        control_units=41,
        pairs=40,
        harm=3.0,
        harm_peak=3.0,
        limit=80.0,
        non_inferior=0.5,
        promotion_limit=20.0,
        failed=False,
        passed=False,
        words=WORDS,
    )
    return msgspec.structs.replace(base, **changes)


def verdict(status: str, *metrics: MetricEvidence, reason: str = WORDS) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins(
        Verdict(status=status, phase="live", reason=reason, metrics=list(metrics))  # type: ignore[arg-type]
    )
    return found


def told(store: MemoryStore, rollout: Rollout, actor: str = "controller", **changes: Any) -> RolloutReport:
    changed = msgspec.structs.replace(rollout, stage=2, **changes)
    with store.write() as tx:
        tx.add_transition(
            Transition(
                rollout=rollout.id,
                at_ms=rollout.created_at_ms + 480_000,
                from_state="progressing",
                to_state="rolling_back" if changed.state == "rolled_back" else changed.state,
                stage=2,
                actor=actor,
                reason=changed.reason,
            )
        )
    with store.read() as tx:
        return rollout_report(tx, changed)


def ended(rollout: Rollout) -> int:
    return rollout.created_at_ms + 480_000


def test_a_rollback_for_harm_says_what_fell_when_where_and_what_serves_now(store: MemoryStore, trial: Rollout) -> None:
    failed = verdict("failed", metric(failed=True, harm_peak=900.0), metric("error"))
    report = told(store, trial, state="rolled_back", reason=WORDS, verdict=failed, ended_at_ms=ended(trial))
    assert (report.cause, report.blamed) == ("harm", "schema")
    assert report.paragraph == (
        "`support-reply#2` was rolled back for proven harm on 2025-10-09 09:01:20 UTC, 8 min after it started, in step "
        f"3 of 3 (pause for 1h): {WORDS} Everybody meets `support-reply#1` again."
    )


def test_a_rollback_by_a_person_names_the_person_and_still_tells_the_evidence(
    store: MemoryStore, trial: Rollout
) -> None:
    seen = verdict("inconclusive", metric("error", harm_peak=1.0), metric(harm_peak=30.0))
    report = told(
        store,
        trial,
        actor="grace",
        state="rolled_back",
        reason="support complained",
        verdict=seen,
        ended_at_ms=ended(trial),
    )
    assert (report.cause, report.blamed) == ("person", "schema")
    assert "was rolled back by grace on" in report.paragraph
    assert "support complained. The evidence at its end: `schema` fell from 99.0 % to 71.0 %" in report.paragraph


def test_a_candidate_that_a_process_took_out_is_told_so_and_its_errors_are_blamed(
    store: MemoryStore, trial: Rollout
) -> None:
    reason = "gateway-7 took the candidate out of service: 5 units in a row met errors of the candidate (last: model_x)"
    report = told(store, trial, state="rolling_back", reason=reason, verdict=verdict("inconclusive", metric()))
    assert (report.cause, report.blamed) == ("withdrawn", "error")
    assert "is being rolled back because its calls plainly failed where it was served" in report.paragraph
    assert "5 units in a row met errors" in report.paragraph
    assert "Everybody meets" not in report.paragraph


@pytest.mark.parametrize(
    ("pause_reason", "actor", "says"),
    [
        ("manual", "grace", ["is paused by grace since", "trimtab rollout resume ro_", "50% of users go on meeting"]),
        ("signal", "controller", ["because a signal metric alarms", "trimtab rollout resume ro_"]),
        ("srm", "controller", ["the sizes of the arms do not fit", "trimtab rollout abort ro_"]),
        ("no_data", "controller", ["for want of traffic", "goes on by itself"]),
        ("inconclusive", "controller", ["because nothing was decided", "trimtab rollout resume ro_"]),
        ("harm", "controller", ["harm is proven, and its plan leaves the rollback to people", "rollout abort ro_"]),
        ("eval", "controller", ["because a test suite did not pass", "trimtab eval record", "trimtab rollout resume"]),
        ("a_reason_of_tomorrow", "controller", ["is paused since"]),
    ],
)
def test_every_pause_says_why_and_what_to_do(
    store: MemoryStore, trial: Rollout, pause_reason: str, actor: str, says: list[str]
) -> None:
    report = told(
        store,
        trial,
        actor=actor,
        state="paused",
        pause_reason=pause_reason,
        reason="because of this",
        verdict=verdict("inconclusive", metric()),
    )
    for words in [*says, "because of this", WORDS]:
        assert words in report.paragraph
    assert report.cause == ""


@pytest.mark.parametrize(
    ("state", "says"),
    [
        ("promoted", "`support-reply#2` became stable on"),
        ("superseded", "was superseded on"),
        ("expired", "Everybody meets `support-reply#1`."),
        ("progressing", "is being tried on users, in step 3 of 3 (pause for 1h) since"),
        ("shadowing", "is answering in shadow"),
        ("baking", "is serving all but the control"),
        ("validating", "is about to start"),
    ],
)
def test_every_other_state_has_its_sentence_with_reason_and_evidence(
    store: MemoryStore, trial: Rollout, state: str, says: str
) -> None:
    end = ended(trial) if state in {"promoted", "superseded", "expired"} else None
    report = told(
        store,
        trial,
        state=state,
        reason="Because of this",
        verdict=verdict("inconclusive", metric()),
        ended_at_ms=end,
    )
    for words in (says, "Because of this.", WORDS):
        assert words in report.paragraph


def test_a_promotion_blames_what_is_proven_least(store: MemoryStore, trial: Rollout) -> None:
    passed = [metric("error", passed=True, non_inferior=900.0), metric(passed=True, non_inferior=25.0)]
    report = told(store, trial, state="promoted", reason="done", verdict=verdict("successful", *passed))
    assert report.blamed == "schema"


def test_a_metric_in_dry_run_is_never_blamed(store: MemoryStore, trial: Rollout) -> None:
    dry = metric("latency", failed=True, harm_peak=1e9, dry_run=True)
    report = told(store, trial, state="progressing", verdict=verdict("inconclusive", dry, metric("error")))
    assert report.blamed == "error"


def segment(value: str, **changes: Any) -> SegmentEvidence:
    words = f"language = {value}: `schema` fell from 99.0 % to 31.0 % (12 candidate users against 11)."
    return SegmentEvidence(
        segment="language", value=value, metric=metric(), words=words, **({"harmed": True} | changes)
    )


@pytest.mark.parametrize("state", ["rolled_back", "promoted", "paused", "progressing", "superseded", "expired"])
def test_the_segment_that_is_hurt_most_is_in_the_paragraph_once(store: MemoryStore, trial: Rollout, state: str) -> None:
    found = msgspec.structs.replace(
        msgspec.convert(verdict("inconclusive", metric()), Verdict), segments=[segment("de"), segment("fr")]
    )
    report = told(store, trial, state=state, reason="because", verdict=msgspec.to_builtins(found))
    assert report.paragraph.count("Harmed: language = de: `schema` fell from 99.0 % to 31.0 %") == 1
    assert "language = fr" not in report.paragraph
    assert [(one.segment, one.value, one.harmed) for one in report.segments] == [
        ("language", "de", True),
        ("language", "fr", True),
    ]
    assert any("language = fr" in words for words in report.words)


def test_a_segment_that_the_reason_names_is_not_named_again(store: MemoryStore, trial: Rollout) -> None:
    hurt = segment("de", harmed=False)
    found = msgspec.structs.replace(msgspec.convert(verdict("failed", metric(failed=True)), Verdict), segments=[hurt])
    reason = f"{WORDS} Hurt most: {hurt.words}"
    report = told(store, trial, state="rolled_back", reason=reason, verdict=msgspec.to_builtins(found))
    assert report.paragraph.count("language = de") == 1
