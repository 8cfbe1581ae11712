"""Releases tried over HTTP: run, killed and resumed, compared, gated, and waited for by a rollout."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from trimtab.bootstrap.control import open_controller
from trimtab.bootstrap.settings import load_settings
from trimtab.evals.report import read_report

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Trimtab = Callable[..., subprocess.CompletedProcess[str]]

BEHAVIOUR = """\
rules:
  - {when: {model: "slow*"}, latency: {medianMs: 400, p95Ms: 450}}
  - {when: {model: "away*"}, errorRate: 1, errorStatus: 400, latency: {medianMs: 0, p95Ms: 0}}
  - {when: {model: "gone*"}, errorRate: 0.2, errorStatus: 400, latency: {medianMs: 0, p95Ms: 0}}
  - {when: {model: "pair*"}, answer: '{"reason": "it came first", "better": "A"}', latency: {medianMs: 0, p95Ms: 0}}
  - when: {model: "judge*", userContains: "0?"}
    answer: '{"reason": "rude", "grade": 1}'
    latency: {medianMs: 0, p95Ms: 0}
  - {when: {model: "judge*"}, answer: '{"reason": "as asked", "grade": 4}', latency: {medianMs: 0, p95Ms: 0}}
  - {when: {systemContains: "Explain your"}, fenceRate: 0.1, preambleRate: 0.1, latency: {medianMs: 0, p95Ms: 0}}
  - {latency: {medianMs: 0, p95Ms: 0}}
"""
SUITE = """\
name: smoke
scorers:
  - {type: json, name: schema, ofRelease: true}
  - {type: jsonPath, name: order, path: $.order_id, ofExpected: true}
  - {type: judge, name: kind, model: openai/judge-1, rubric: Is it kind?}
  - {type: embedding, model: openai/embed, against: expected}
gate:
  rules:
    - {metric: schema, nonInferior: 5}
    - {metric: order, atLeast: 95}
"""
PLAN = """\
unit: user
metrics: [{name: error}]
steps:
  - offlineEval: {suite: smoke, dataset: orders@v1, timeout: 1d}
  - setWeight: 5
  - bake: {duration: 1h}
"""
ITEMS = 120
OVER = ("--dataset", "orders", "--suite", "smoke.yaml")


@pytest.fixture(scope="module", autouse=True)
def _served(shop: Path, trimtab_here: Trimtab) -> Iterator[None]:
    (shop / "sim.yaml").write_text(BEHAVIOUR)
    command = [sys.executable, "-m", "trimtab", "sim", "--port", "0", "--behaviour", "sim.yaml"]
    upstream = subprocess.Popen(command, cwd=shop, stderr=subprocess.PIPE, text=True)
    assert upstream.stderr is not None
    url = upstream.stderr.readline().split()[-1]
    assert trimtab_here("init", "support-reply").returncode == 0
    (shop / "trimtab.toml").write_text(f'[providers.openai]\nbase_url = "{url}"\napi_key_env = ""\n')
    (shop / "smoke.yaml").write_text(SUITE)
    lines = [
        {
            "variables": {"shop": "Acme"},
            "messages": [{"role": "user", "content": f"Where is order A-{1000 + n}?"}],
            "expected": {"order_id": f"A-{1000 + n}"},
            "slices": {"lang": ("de", "en")[n % 2]},
        }
        for n in range(ITEMS)
    ]
    (shop / "orders.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (shop / "support-reply/rollout.yaml").write_text(PLAN)
    assert trimtab_here("push", "support-reply").returncode == 0
    tone = shop / "support-reply/partials/tone.md"
    for words in ("Explain your reasoning.", "Be brief, but do not rush."):
        tone.write_text(words + "\n")
        assert trimtab_here("push", "support-reply").returncode == 0
    assert trimtab_here("dataset", "create", "support-reply", "orders", "--from", "orders.jsonl").returncode == 0
    yield
    upstream.terminate()
    upstream.wait()
    upstream.stderr.close()


def test_a_bad_release_fails_the_gate_and_the_reports_say_why(trimtab_here: Trimtab, shop: Path) -> None:
    written = ("--junit", "gate.xml", "--markdown", "gate.md", "--html", "gate.html")
    done = trimtab_here("eval", "gate", "support-reply", "#2", "--baseline", "#1", *OVER, *written)
    assert done.returncode == 1, done.stderr
    assert done.stdout.startswith("gate FAILED\n")
    assert "schema is worse by less than 5 points: failed: 100 to " in done.stdout
    tally = read_report((shop / "gate.xml").read_bytes()).tally
    assert (tally.ran, tally.passed, tally.failed) == (2, 0, 2)
    assert "| schema | 100.0 % |" in (shop / "gate.md").read_text()
    page = (shop / "gate.html").read_text()
    for part in ("<svg", "Gate failed", "it is not JSON", "```json", "prefers-color-scheme:dark"):
        assert part in page
    for foreign in ("http://", "https://", "<script"):
        assert foreign not in page
    listed = trimtab_here("eval", "list", "support-reply", "#2").stdout
    assert "items of orders@v1 against support-reply#1: " in listed
    assert "FAILED" in listed
    assert "schema is worse by less than 5 points" in listed


def test_a_good_release_passes_and_is_not_asked_again(trimtab_here: Trimtab) -> None:
    done = trimtab_here("eval", "gate", "support-reply", "#3", "--baseline", "#1", *OVER, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout)
    assert (told["gate"]["verdict"], told["recorded"]) == ("passed", True)
    run = json.loads(trimtab_here("eval", "run", "support-reply", "#3", *OVER, "--json").stdout)
    assert (run["cached"], run["spent_usd"]) == (ITEMS, 0.0)
    assert [row["scores"]["kind"] for row in run["rows"][:2]] == [0.0, 0.75]
    assert 0 < run["rows"][0]["scores"]["embedding"] <= 1
    assert '"source": "eval"' in trimtab_here("eval", "list", "support-reply", "#3", "--json").stdout
    assert trimtab_here("audit", "verify").returncode == 0
    compared = trimtab_here("eval", "compare", "support-reply", "#1", "#3", *OVER)
    assert compared.returncode == 0
    assert "support-reply#1 → support-reply#3 on orders@v1: 120 items" in compared.stdout
    assert "no difference shown" in compared.stdout
    assert "need" in compared.stdout
    listed = trimtab_here("eval", "runs", "support-reply").stdout
    assert listed.count("complete") >= 3


def test_a_rollout_waits_for_the_gate(trimtab_here: Trimtab, shop: Path) -> None:
    def state() -> str:
        controller = open_controller(load_settings(environ={"TRIMTAB_DIRECTORY": str(shop / ".trimtab")}))
        for _ in range(3):
            controller.tick()
        controller.close()
        told = trimtab_here("rollout", "explain", "support-reply").stdout
        return told.partition("in production: ")[2].split()[0]

    gate = ("eval", "gate", "support-reply", "#3", "--baseline", "#1", *OVER)
    assert trimtab_here("environment", "set", "support-reply", "#1", "--reason", "first").returncode == 0
    assert trimtab_here("push", "support-reply").returncode == 0
    (shop / "support-reply/partials/tone.md").write_text("Be brief, and never rush.\n")
    assert trimtab_here("push", "support-reply").returncode == 0
    assert trimtab_here("rollout", "start", "support-reply", "#4").returncode == 0
    assert state() == "evaluating"
    assert trimtab_here(*gate).returncode == 0  # of another release
    assert state() == "evaluating"
    done = trimtab_here("eval", "gate", "support-reply", "#4", "--baseline", "#1", *OVER)
    assert (done.returncode, "warning" in done.stderr) == (0, False), done.stdout + done.stderr
    assert state() == "baking"


def test_a_killed_run_goes_on_where_it_was(shop: Path, trimtab_here: Trimtab) -> None:
    which = ("eval", "run", "support-reply", "#1=openai/slow-model", *OVER)
    before = set((shop / ".trimtab/evals/answers").glob("*.jsonl"))
    environ = {name: value for name, value in os.environ.items() if not name.startswith("TRIMTAB_")}
    command = [sys.executable, "-m", "trimtab", *which, "--concurrency", "4"]
    process = subprocess.Popen(command, cwd=shop, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 30
    kept = 0
    while kept < 8 and time.monotonic() < deadline:
        new = set((shop / ".trimtab/evals/answers").glob("*.jsonl")) - before
        kept = sum(path.read_bytes().count(b"\n") for path in new)
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert 8 <= kept < ITEMS
    done = trimtab_here(*which, "--concurrency", "64", "--json")
    assert done.returncode == 0, done.stderr
    run: dict[str, Any] = json.loads(done.stdout)
    assert kept <= run["cached"] < ITEMS
    assert len(run["rows"]) == ITEMS
    assert run["tried"]["label"] == "support-reply#1=openai/slow-model"


def test_money_ends_before_it_is_overspent(trimtab_here: Trimtab, shop: Path) -> None:
    which = ("eval", "run", "support-reply", "#1=openai/gpt-4o", "--dataset", "orders", "--suite", "cheap.yaml")
    (shop / "cheap.yaml").write_text("name: cheap\nscorers: [{type: json}]\n")
    run = json.loads(trimtab_here(*which, "--budget", "0.02", "--json").stdout)
    assert 0 < run["spent_usd"] <= 0.02
    assert "the budget of $0.02 does not suffice" in run["stopped"]
    again = trimtab_here(*which, "--json")
    assert again.returncode == 0
    assert json.loads(again.stdout)["cached"] == len(run["rows"])


def test_a_release_that_answers_nothing_is_not_measured(trimtab_here: Trimtab) -> None:
    away = "support-reply", "#1=openai/away-model"
    done = trimtab_here("eval", "run", *away, *OVER)
    assert done.returncode == 3
    assert " by `smoke`: 0 answers\n" in done.stdout
    assert "0.0 %" not in done.stdout
    assert "error: support-reply#1=openai/away-model gave no answer: all " in done.stderr
    compared = trimtab_here("eval", "compare", *away, "#1", *OVER)
    assert compared.returncode == 2
    assert "was not run to its end on orders@v1" in compared.stderr
    gated = trimtab_here("eval", "gate", *away, "--baseline", "#1", *OVER)
    assert gated.returncode == 2
    assert "something is answered: error: all " in gated.stdout
    assert "→" not in gated.stdout  # a comparison with nothing


def test_a_few_failed_calls_are_no_answers_to_compare(trimtab_here: Trimtab, shop: Path) -> None:
    (shop / "two.jsonl").write_text("".join(f'{{"shop": "Acme", "input": "Where is {n}?"}}\n' for n in range(2)))
    made = trimtab_here("dataset", "create", "support-reply", "two", "--from", "two.jsonl")
    assert made.returncode == 0, made.stderr
    over = ("--dataset", "two", "--suite", "smoke.yaml")
    assert trimtab_here("eval", "run", "support-reply", "#1=openai/away-model", *over).returncode == 3
    compared = trimtab_here("eval", "compare", "support-reply", "#1=openai/away-model", "#1", *over)
    assert compared.returncode == 2
    assert "gave no answer on two@v1 (all) by this suite: all 2 calls failed, the first with" in compared.stderr


def test_failures_are_told_and_a_gate_that_lacks_answers_cannot_say(trimtab_here: Trimtab) -> None:
    done = trimtab_here("eval", "run", "support-reply", "#1=openai/gone-model", *OVER)
    assert done.returncode == 1
    assert "simulated failure" in done.stderr
    gated = trimtab_here("eval", "gate", "support-reply", "#1=openai/gone-model", "--baseline", "#1", *OVER)
    assert gated.returncode == 2
    assert "have no answer" in gated.stdout


def test_a_judge_gates_once_people_agree_with_it(trimtab_here: Trimtab, shop: Path) -> None:
    suite = SUITE.partition("gate:")[0] + "gate:\n  rules: [{metric: kind, nonInferior: 0.2}]\n"
    (shop / "kind.yaml").write_text(suite)
    over = ("--dataset", "orders", "--suite", "kind.yaml")
    gate = ("eval", "gate", "support-reply", "#3", "--baseline", "#1", *over, "--no-record")
    refused = trimtab_here(*gate)
    assert refused.returncode == 2
    assert "its judge may not gate: people labelled 0 answers of openai/gpt-4o-mini that it judged" in refused.stdout
    items = [
        json.loads(line)["id"]
        for line in trimtab_here("dataset", "split", "support-reply", "orders").stdout.splitlines()
    ]
    labels = [
        {"item": item, "release": "#1", "label": 0.75 if n % 10 and n > 4 else 0.0} for n, item in enumerate(items[:40])
    ]
    (shop / "labels.jsonl").write_text("".join(json.dumps(label) + "\n" for label in labels))
    held = trimtab_here(
        "eval", "calibrate", "support-reply", "#1", *over, "--metric", "kind", "--labels", "labels.jsonl"
    )
    assert held.returncode == 0, held.stderr
    assert "90.0% [" in held.stdout
    assert "may gate: it agrees with people on 90.0 % [76.3, 97.2] of 40 answers of openai/gpt-4o-mini\n" in held.stdout
    passed = trimtab_here(*gate)
    assert passed.returncode == 0, passed.stdout + passed.stderr
    assert "gate passed" in passed.stdout
    assert "; its judge agrees with people on 90.0 % [76.3, 97.2] of 40 answers of openai/gpt-4o-mini" in passed.stdout


GATES = """
def test_good(trimtab_eval):
    outcome = trimtab_eval("support-reply", "#3", baseline="#1", dataset="orders", suite="smoke.yaml")
    assert outcome
    assert outcome.comparison.metric("schema").items == 120

def test_bad(trimtab_eval):
    assert trimtab_eval("support-reply", "#2", baseline="#1", dataset="orders", suite="smoke.yaml")
"""
INERT = """
import sys

def test_nothing_is_loaded():
    assert "trimtab.pytest_plugin" in sys.modules
    assert not [name for name in sys.modules if name.startswith(("trimtab.evals", "trimtab.core", "sqlalchemy"))]
"""


def gated_by_pytest(shop: Path, text: str) -> subprocess.CompletedProcess[str]:
    (shop / "test_gates.py").write_text(text)
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("TRIMTAB_", "PYTEST_"))}
    command = [sys.executable, "-m", "pytest", "-q", "--rootdir", str(shop), "-p", "no:cacheprovider", "test_gates.py"]
    return subprocess.run(command, cwd=shop, env=environ, capture_output=True, text=True, timeout=120)


def test_releases_are_gated_from_pytest(shop: Path) -> None:
    done = gated_by_pytest(shop, GATES)
    assert "1 failed, 1 passed" in done.stdout, done.stdout + done.stderr
    assert "<smoke failed: schema is worse by less than 5 points" in done.stdout
    assert "| schema | 100.0 % |" in done.stdout


def test_the_plugin_is_inert_unless_it_is_used(shop: Path) -> None:
    done = gated_by_pytest(shop, INERT)
    assert "1 passed" in done.stdout, done.stdout + done.stderr


def test_a_judge_of_pairs_gates_against_the_baseline(trimtab_here: Trimtab, shop: Path) -> None:
    (shop / "pair.yaml").write_text(
        "name: pair\n"
        "scorers: [{type: judge, name: liked, mode: pair, model: openai/pair-1, rubric: Which is kinder?}]\n"
        "gate: {uncalibratedJudges: allow, rules: [{metric: liked, nonInferior: 0.1}]}\n"
    )
    over = ("--dataset", "orders", "--suite", "pair.yaml")
    gated = trimtab_here("eval", "gate", "support-reply", "#2", "--baseline", "#1", *over, "--no-record")
    assert gated.returncode == 0, gated.stdout + gated.stderr
    assert "liked is worse by less than 0.1: passed: 0.5 to 0.5" in gated.stdout
    run = trimtab_here("eval", "run", "support-reply", "#2", *over, "--baseline", "#1")
    assert "liked: the order decided 9" in run.stdout  # of some pairs both say the same
    alone = trimtab_here("eval", "run", "support-reply", "#2", *over)
    assert alone.returncode == 2
    assert "there is no baseline" in alone.stderr


def test_repeating_tells_how_much_a_release_differs_from_itself(trimtab_here: Trimtab) -> None:
    done = trimtab_here("eval", "run", "support-reply", "#1", *OVER, "--repeat", "2", "--concurrency", "32")
    assert done.returncode == 0, done.stderr
    assert "flips 0.0%" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("run", "support-reply", "#9", *OVER), "has no release #9"),
        (("run", "support-reply", "#1", "--dataset", "none", "--suite", "smoke.yaml"), "has no dataset `none`"),
        (("run", "support-reply", "#1=gpt", *OVER), "`gpt` names no model"),
        (("run", "support-reply", "#1", "--dataset", "orders", "--suite", "bad.yaml"), "bad.yaml:2"),
        (("runs", "nowhere"), "there is no feature `nowhere`"),
        (("compare", "support-reply", "#1=openai/never", "#1", *OVER), "was not run on orders@v1"),
        (("run", "support-reply", "#1=openai/unknown-price", *OVER, "--budget", "1"), "nobody knows what"),
    ],
)
def test_what_cannot_be_run_is_refused(
    trimtab_here: Trimtab, shop: Path, arguments: tuple[str, ...], said: str
) -> None:
    (shop / "bad.yaml").write_text("name: x\nscorers: [{type: nothing}]\n")
    done = trimtab_here("eval", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
