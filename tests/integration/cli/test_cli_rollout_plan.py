"""Plans are checked before they are pushed: `trimtab rollout lint` and `schema`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    Trimtab = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module", autouse=True)
def _example(trimtab: Trimtab) -> None:
    assert trimtab("init", "support-reply").returncode == 0


def test_lint_tells_what_a_plan_will_do(trimtab: Trimtab) -> None:
    done = trimtab("rollout", "lint", "support-reply")
    assert done.returncode == 0
    assert done.stdout.splitlines()[:3] == [
        "support-reply/rollout.yaml: a sound plan of 7 steps",
        "  1. shadow 5 % for 8s, at least 20 units",
        "  2. weight 10 %",
    ]
    report = json.loads(trimtab("rollout", "lint", "support-reply/rollout.yaml", "--json").stdout)
    assert report["ok"] is True
    assert report["files"][0]["plan"]["alpha"] == 0.05


def test_lint_tells_everything_that_is_wrong_with_its_line_and_says_no(trimtab: Trimtab, shop: Path) -> None:
    (shop / "bad.yaml").write_text(
        "alpha: 0.05\nmaxWeight: 50\nsteps:\n  - setWeight: 300\n  - pause: {duration: 10}\n"
    )
    bad = trimtab("rollout", "lint", "bad.yaml", "support-reply")
    assert (bad.returncode, bad.stderr) == (1, "3 errors, 0 warnings\n")
    assert bad.stdout.splitlines()[:6] == [
        "bad.yaml:2: error: `maxWeight` is not a field of a rollout plan",
        "    hint: write the largest weight as the last `setWeight`; `bake` then serves all but a small control",
        "bad.yaml:4: error: `steps[0].setWeight`: must be a number <= 100.0",
        "bad.yaml:5: error: `steps[1].pause.duration`: this is not a duration",
        "    hint: write a number and a unit: 500ms, 30s, 5m, 2h or 1d; `10s` are 10 seconds",
        "support-reply/rollout.yaml: a sound plan of 7 steps",
    ]
    as_json = trimtab("rollout", "lint", "bad.yaml", "--json")
    assert as_json.returncode == 1
    report = json.loads(as_json.stdout)
    assert report["ok"] is False
    assert [problem["line"] for problem in report["files"][0]["errors"]] == [2, 4, 5]
    assert report["files"][0]["plan"] is None


def test_lint_counts_warnings_as_errors_only_where_asked_to(trimtab: Trimtab, shop: Path) -> None:
    (shop / "doubtful.yaml").write_text("steps:\n  - setWeight: 50\n")
    done = trimtab("rollout", "lint", "doubtful.yaml")
    assert (done.returncode, done.stderr) == (0, "0 errors, 1 warning\n")
    assert done.stdout.startswith("doubtful.yaml:2: warning: `steps[0]`: the last step is a weight")
    assert trimtab("rollout", "lint", "--strict", "doubtful.yaml").returncode == 1


def test_lint_of_a_file_that_is_not_there_is_misuse(trimtab: Trimtab) -> None:
    done = trimtab("rollout", "lint", "nowhere.yaml")
    assert (done.returncode, done.stdout) == (2, "")
    assert "cannot read the plan" in done.stderr


def test_the_schema_of_plans_can_be_printed_for_editors(trimtab: Trimtab) -> None:
    done = trimtab("rollout", "schema")
    published = Path(__file__).parents[3] / "docs" / "reference" / "schemas" / "rollout.schema.json"
    assert json.loads(done.stdout) == json.loads(published.read_text())
