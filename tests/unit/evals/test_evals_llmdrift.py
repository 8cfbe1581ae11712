"""Against real generations: GPT-3.5 and GPT-4 of March and June 2023 on the primes task (arXiv 2307.09009)."""

from __future__ import annotations

import csv
import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from tests.unit.evals.test_evals_running import RELEASE, Model, tried

from trimtab.demo.primes import is_prime
from trimtab.evals.comparison import compare
from trimtab.evals.datasets import Item
from trimtab.evals.gate import judge_gate
from trimtab.evals.suite import GateSpec, Rule

if TYPE_CHECKING:
    from trimtab.evals.answers import Ask
    from trimtab.evals.results import EvalRun

DATA = Path(os.environ.get("TRIMTAB_DATA") or Path(__file__).parents[4] / "shared" / "data") / "llmdrift"
pytestmark = pytest.mark.skipif(
    not DATA.is_dir(), reason="TRIMTAB_DATA does not name the folder with the LLMDrift files"
)
RIGHT: list[dict[str, Any]] = [{"type": "code", "name": "right", "function": "own:right", "binary": True}]
READING = """
import re

def right(output, item, answer):
    says = True if re.search(r"(?i)\\byes\\b", output) else False if re.search(r"(?i)\\bno\\b", output) else None
    return says is item["expected"]
"""


@cache
def recorded() -> dict[str, dict[str, str]]:
    """Answers by model and question."""
    found: dict[str, dict[str, str]] = {}
    with (DATA / "PRIME_FULL_EVAL.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            found.setdefault(row["model"].rpartition("/")[2], {})[row["query"]] = row["answer"]
    return found


def run_of(model: str, folder: Path) -> EvalRun:
    answers = recorded()[model]

    def say(ask: Ask) -> str:
        return answers[str(ask.messages[-1]["content"])]

    (folder / "own.py").write_text(READING)
    items = [
        Item(id=str(n), messages=[{"role": "user", "content": asked}], expected=is_prime(int(asked.split()[1])))
        for n, asked in enumerate(answers)
    ]
    release = msgspec.structs.replace(RELEASE, digest=f"sha256:{model}")
    return tried(folder, Model(say, release=release), RIGHT, items=items)


def test_a_loss_is_measured_and_stopped(tmp_path: Path) -> None:
    before, after = run_of("gpt-4-0314", tmp_path), run_of("gpt-4-0613", tmp_path)
    found = compare(before, after).metrics[0]
    assert (round(found.baseline, 3), round(found.candidate, 3)) == (0.84, 0.511)
    assert found.better_or_worse == "worse"
    assert (
        judge_gate(GateSpec(rules=[Rule(metric="right", non_inferior=5)]), after, baseline=before).verdict == "failed"
    )


def test_a_gain_that_hides_flips_passes_one_rule_and_fails_the_other(tmp_path: Path) -> None:
    before, after = run_of("gpt-3.5-turbo-0301", tmp_path), run_of("gpt-3.5-turbo-0613", tmp_path)
    found = compare(before, after).metrics[0]
    assert round(found.difference, 3) == 0.266
    assert found.better_or_worse == "better"
    assert found.flips is not None
    assert round(found.flips.negative, 3) == 0.153
    rules = [Rule(metric="right", superior=True), Rule(metric="right", max_negative_flips=5)]
    report = judge_gate(GateSpec(rules=rules), after, baseline=before)
    assert [one.verdict for one in report.rules] == ["passed", "failed"]
