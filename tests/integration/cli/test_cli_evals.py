"""Results of test suites from the command line, and a rollout that waits for one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from trimtab.bootstrap.control import open_controller
from trimtab.bootstrap.settings import load_settings

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    Trimtab = Callable[..., subprocess.CompletedProcess[str]]

CASES = "<testsuite><testcase name='refund'/><testcase name='order status'>{}</testcase></testsuite>"
PLAN = """\
unit: user
metrics: [{name: error}]
steps:
  - offlineEval: {suite: smoke, timeout: 1d}
  - setWeight: 5
  - bake: {duration: 1h}
"""


@pytest.fixture(scope="module", autouse=True)
def _pushed(trimtab: Trimtab, shop: Path) -> None:
    assert trimtab("init", "support-reply").returncode == 0
    (shop / "support-reply/rollout.yaml").write_text(PLAN)
    assert trimtab("push", "support-reply").returncode == 0
    assert trimtab("environment", "set", "support-reply", "#1", "--reason", "first").returncode == 0
    (shop / "support-reply/partials/tone.md").write_text("Something else.\n")
    assert trimtab("push", "support-reply").returncode == 0


def tick(shop: Path) -> None:
    controller = open_controller(load_settings(environ={"TRIMTAB_DIRECTORY": str(shop / ".trimtab")}))
    for _ in range(3):
        controller.tick()
    controller.close()


def test_a_rollout_waits_for_a_suite_and_goes_on_when_it_passes(trimtab: Trimtab, shop: Path) -> None:
    assert trimtab("rollout", "start", "support-reply", "#2").returncode == 0
    tick(shop)
    told = trimtab("rollout", "explain", "support-reply")
    assert "in production: evaluating" in told.stdout
    assert "[>] offline eval smoke, at most 1d" in told.stdout
    assert "eval `smoke`: no result for support-reply#2 is on record" in told.stdout
    (shop / "report.xml").write_text(CASES.format(""))
    done = trimtab("eval", "record", "support-reply", "#2", "--suite", "smoke", "--results", "report.xml")
    assert (done.returncode, done.stdout) == (0, "support-reply #2: `smoke` passed: 2 of 2 cases passed\n")
    tick(shop)
    told = trimtab("rollout", "explain", "support-reply")
    assert "in production: baking" in told.stdout
    assert "eval `smoke` passed: 2 of 2 cases passed, recorded by ada" in told.stdout
    report = json.loads(trimtab("rollout", "explain", "support-reply", "--json").stdout)
    assert report["evals"][0]["result"]["source"] == "junit"
    assert trimtab("audit", "verify").returncode == 0


def test_a_failed_suite_is_recorded_and_the_answer_is_no(trimtab: Trimtab, shop: Path) -> None:
    (shop / "bad.xml").write_text(CASES.format("<failure/>"))
    done = trimtab("eval", "record", "support-reply", "#1", "--suite", "smoke", "--results", "bad.xml")
    assert done.returncode == 1
    assert done.stdout == "support-reply #1: `smoke` failed: 1 of 2 cases passed; not passed: order status\n"
    most = ("--results", "bad.xml", "--threshold", "0.5")
    assert trimtab("eval", "record", "support-reply", "#1", "--suite", "smoke", *most).returncode == 0
    listed = trimtab("eval", "list", "support-reply", "#1")
    assert [line.split()[:3] for line in listed.stdout.splitlines()[1:]] == [
        ["support-reply#1", "smoke", "passed"],
        ["support-reply#1", "smoke", "FAILED"],
    ]


def test_a_persons_word_is_a_result_with_its_reason(trimtab: Trimtab) -> None:
    word = ("--failed", "--reason", "too curt for us")
    done = trimtab("eval", "record", "support-reply", "#1", "--suite", "tone", *word, "--json")
    result: dict[str, Any] = json.loads(done.stdout)
    assert done.returncode == 1
    assert (result["source"], result["detail"], result["passed"], result["actor"]) == (
        "stated",
        "too curt for us",
        False,
        "ada",
    )


def test_a_word_against_a_failure_is_told_wherever_the_result_is(trimtab: Trimtab, shop: Path) -> None:
    (shop / "bad.xml").write_text(CASES.format("<failure/>"))
    record = ("eval", "record", "support-reply", "#1", "--suite", "smoke")
    assert trimtab(*record, "--results", "bad.xml").returncode == 1
    refused = trimtab(*record, "--passed")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "only with a reason" in refused.stderr
    done = trimtab(*record, "--passed", "--reason", "the case asks for last year's policy")
    assert done.returncode == 0
    assert "passed on ada's word although it had failed (result" in done.stdout
    assert "by ada: 1 of 2 cases passed; not passed: order status)" in done.stdout
    first = trimtab("eval", "list", "support-reply", "#1").stdout.splitlines()[1]
    assert "overrides result" in first
    assert '"overrides"' in trimtab("audit", "list", "--json").stdout
    assert done.stderr == ""


def test_a_result_that_no_plan_waits_for_is_recorded_with_a_warning(trimtab: Trimtab) -> None:
    word = ("--passed", "--reason", "read them")
    done = trimtab("eval", "record", "support-reply", "#1", "--suite", "smokey", *word)
    assert done.returncode == 0
    assert "no plan of support-reply waits for the suite `smokey`; did you mean `smoke`?" in done.stderr


def test_a_plan_may_pin_the_dataset_and_a_rollout_does_not_wait_for_one_that_is_not_there(
    trimtab: Trimtab, shop: Path
) -> None:
    pinned = PLAN.replace("suite: smoke", "suite: pinned, dataset: orders@v1")
    (shop / "pinned.jsonl").write_text('{"messages": [{"role": "user", "content": "Where is it?"}]}\n')
    (shop / "support-reply/rollout.yaml").write_text(pinned)
    assert trimtab("push", "support-reply").returncode == 0
    trimtab("rollout", "abort", "support-reply", "--reason", "next")  # the one of another test, where it ran here
    tick(shop)
    (shop / "support-reply/partials/tone.md").write_text("Something third.\n")
    assert trimtab("push", "support-reply").returncode == 0
    refused = trimtab("rollout", "start", "support-reply", "#3")
    assert (refused.returncode, "has no dataset `orders@v1`" in refused.stderr) == (2, True)
    assert trimtab("dataset", "create", "support-reply", "orders", "--from", "pinned.jsonl").returncode == 0
    assert trimtab("rollout", "start", "support-reply", "#3").returncode == 0
    record = ("eval", "record", "support-reply", "#3", "--suite", "pinned", "--passed", "--reason", "read them")
    unnamed = trimtab(*record)
    assert "over no dataset that was named, does not count" in unnamed.stderr
    tick(shop)
    told = trimtab("rollout", "explain", "support-reply").stdout
    assert "eval `pinned` on orders@v1: no result for support-reply#3" in told
    assert "[>] offline eval pinned on orders@v1, at most 1d" in told
    named = trimtab(*record, "--dataset", "orders@v1")
    assert (named.returncode, named.stderr) == (0, "")
    tick(shop)
    assert "in production: baking" in trimtab("rollout", "explain", "support-reply").stdout


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--passed", "--failed", "--reason", "both"), "give one of --passed and --failed"),
        (("--passed", "--reason", "x", "--dataset", "nope@v1"), "has no dataset `nope@v1`"),
        ((), "one of --results FILE, --passed and --failed"),
        (("--passed", "--results", "report.xml"), "one of --results FILE, --passed and --failed"),
        (("--passed", "--threshold", "0.9"), "--threshold needs --results"),
        (("--results", "nowhere.xml"), "cannot read the report: No such file or directory (at nowhere.xml)"),
        (("--results", "trimtab.html"), "`<html>` is not JUnit's XML (at trimtab.html)"),
        (("--results", "report.xml", "--threshold", "90"), "90 is no share of the cases"),
        (("--passed", "--suite", "Smoke Tests"), "cannot name a suite"),
    ],
)
def test_what_is_no_result_is_refused(trimtab: Trimtab, shop: Path, options: tuple[str, ...], said: str) -> None:
    (shop / "trimtab.html").write_text("<html></html>")
    (shop / "report.xml").write_text(CASES.format(""))
    done = trimtab("eval", "record", "support-reply", "#2", "--suite", "none", *options)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert '"none"' not in trimtab("eval", "list", "support-reply", "--json").stdout
