"""Recording what suites said: numbered, audited, told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from trimtab.control.evals import counted, reported, stated
from trimtab.core.errors import InputError, NotFoundError
from trimtab.evals.tally import Tally

if TYPE_CHECKING:
    from trimtab.control.plane import ControlPlane
    from trimtab.core.clock import FakeClock
    from trimtab.storage.memory import MemoryStore

REPORT = b"<testsuite><testcase name='a'/><testcase name='b'><failure/></testcase></testsuite>"


def test_results_are_numbered_for_each_suite_of_a_release_and_the_newest_comes_first(
    serving: ControlPlane, clock: FakeClock
) -> None:
    for reference, suite, passed in [("#2", "smoke", False), ("#2", "smoke", True), ("#1", "smoke", True)]:
        clock.advance(1)
        serving.record_eval("support-reply", reference, suite, stated(passed=passed, reason="looked at it"))
    told = [(one.release_name, one.result.number, one.result.passed) for one in serving.eval_results("support-reply")]
    assert told == [("support-reply#1", 1, True), ("support-reply#2", 2, True), ("support-reply#2", 1, False)]
    assert len(serving.eval_results("support-reply", "#2")) == 2


def test_a_report_is_kept_as_numbers_and_words(serving: ControlPlane) -> None:
    result = serving.record_eval("support-reply", "#2", "smoke", reported(REPORT, threshold=0.5))
    assert (result.passed, result.source, result.cases, result.cases_passed, result.threshold) == (
        True,
        "junit",
        2,
        1,
        0.5,
    )
    assert result.text == "`smoke` passed: 1 of 2 cases passed; not passed: b; 50 % had to"
    assert not reported(REPORT, threshold=1.0).passed


def test_every_result_stands_in_the_audit_log_which_notices_one_slipped_in(
    serving: ControlPlane, store: MemoryStore
) -> None:
    result = serving.record_eval("support-reply", "#2", "smoke", stated(passed=True, reason="by hand"))
    entries, fault = serving.audit()
    assert fault == ""
    assert (entries[-1].action, entries[-1].subject, entries[-1].actor) == (
        "eval.record",
        "support-reply#2/smoke/1",
        "ada",
    )
    assert entries[-1].detail["passed"] is True
    with store.write() as tx:  # somebody with the database in hand
        tx.add_eval_result(msgspec.structs.replace(result, number=2))
    assert "support-reply#2/smoke/2" in serving.audit()[1]


def test_a_pass_on_somebody_s_word_needs_a_reason_and_tells_which_failure_it_overrides(serving: ControlPlane) -> None:
    for reason in ("", "  "):
        with pytest.raises(InputError, match="only with a reason") as caught:
            serving.record_eval("support-reply", "#2", "smoke", stated(passed=True, reason=reason))
        assert caught.value.code == "missing_reason"
    serving.record_eval("support-reply", "#2", "smoke", reported(REPORT, threshold=1.0))
    for number, reason in enumerate(("the case is wrong", "still is"), start=2):
        result = serving.record_eval("support-reply", "#2", "smoke", stated(passed=True, reason=reason))
        said = "result 1, by ada: 1 of 2 cases passed; not passed: b"
        assert (result.number, result.overrides) == (number, said)
        assert result.text == f"`smoke` passed on ada's word although it had failed ({said}): {reason}"
        entry = serving.audit()[0][-1]
        assert (entry.detail["detail"], entry.detail["overrides"]) == (reason, said)
    assert "overrides" not in serving.audit()[0][-3].detail
    measured = serving.record_eval("support-reply", "#2", "smoke", reported(REPORT, threshold=0.5))
    again = serving.record_eval("support-reply", "#2", "smoke", stated(passed=True, reason="by hand"))
    assert (measured.overrides, again.overrides) == ("", "")


@pytest.mark.parametrize(
    ("tally", "threshold", "code"),
    [
        (Tally(passed=1), 0.0, "malformed_threshold"),
        (Tally(passed=1), 1.5, "malformed_threshold"),
        (Tally(passed=1), float("nan"), "malformed_threshold"),
        (Tally(skipped=3), 1.0, "empty_report"),
        (Tally(passed=5, failed=-4), 1.0, "empty_report"),
    ],
)
def test_counts_that_make_no_sense_are_refused(tally: Tally, threshold: float, code: str) -> None:
    with pytest.raises(InputError) as caught:
        counted(tally, threshold=threshold)
    assert caught.value.code == code


def test_a_suite_needs_a_name_and_a_release_that_is_there(serving: ControlPlane) -> None:
    with pytest.raises(InputError, match="cannot name a suite"):
        serving.record_eval("support-reply", "#2", "Smoke Tests", stated(passed=True, reason=""))
    with pytest.raises(NotFoundError):
        serving.record_eval("support-reply", "#9", "smoke", stated(passed=True, reason=""))
    assert serving.eval_results("support-reply") == []
