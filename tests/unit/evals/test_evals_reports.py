"""Reports: the same facts for people, pull requests, machines and browsers, whatever stands in them."""

from __future__ import annotations

import random
import re
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.evals.runs import run

from trimtab.evals.comparison import Comparison, compare
from trimtab.evals.gate import GateReport, RuleOutcome, judge_gate
from trimtab.evals.report import read_report
from trimtab.evals.reports.html import Example, html_report
from trimtab.evals.reports.junit_out import junit_report, junit_run
from trimtab.evals.reports.markdown import markdown_report
from trimtab.evals.reports.plots import Mark, forest
from trimtab.evals.results import MetricInfo, Row
from trimtab.evals.suite import GateSpec, Rule

EVIL = '</title><script>alert("1")</script>&\'|`*_[x](http://x)'


class Strict(HTMLParser):
    """Notes every tag, and what is opened and not closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag not in {"meta", "line", "circle"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def compared(name: str = "ok") -> tuple[Comparison, GateReport]:
    draw = random.Random(1)
    slices = [{"lang": EVIL if n % 2 else "de"} for n in range(80)]
    values = [[float(draw.random() < chance) for _ in slices] for chance in (0.9, 0.6)]
    numbers = [[draw.gauss(mean, 1) for _ in slices] for mean in (5, 6)]
    metrics = {name: MetricInfo(scorer="s", kind="binary"), "n": MetricInfo(scorer="s", kind="numeric")}
    before, after = (run({name: values[side], "n": numbers[side]}, metrics=metrics, slices=slices) for side in (0, 1))
    found = compare(before, after)
    rules = [Rule(metric=name, non_inferior=5), Rule(metric="n", superior=True)]
    return found, judge_gate(GateSpec(rules=rules, no_worse_slice=True), after, baseline=before, comparison=found)


def test_a_page_is_well_formed_and_runs_nothing() -> None:
    found, gate = compared(EVIL)
    lost = found.metrics[0].flips
    assert lost is not None
    examples = {item: Example(asked=EVIL, before=EVIL, after=EVIL, why={EVIL: EVIL}) for item in lost.lost}
    page = Strict(html_report(found, gate, examples))
    assert page.open == []
    assert "script" not in page.tags
    assert {"svg", "details", "table"} <= page.tags
    assert Strict(html_report(None, gate)).open == []


def test_markdown_keeps_its_table_whatever_names_hold() -> None:
    found, gate = compared(EVIL)
    text = markdown_report(found, gate)
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {8}
    assert "<script" not in text.replace("\\<", "")
    assert text.startswith("### ❌ Gate failed")
    assert "Worse slices, of" in text


def test_junit_has_a_case_for_each_rule() -> None:
    _, gate = compared()
    text = junit_report(gate, suite="smoke", release="f#2")
    tally = read_report(text.encode()).tally
    assert (tally.ran, tally.passed, tally.failed) == (3, 1, 2)
    root = ET.fromstring(text)
    assert [case.get("name") for case in root.iter("testcase")] == [one.rule for one in gate.rules]


@given(text=st.text())
def test_any_text_makes_xml_that_can_be_read(text: str) -> None:
    gate = GateReport(verdict="error", rules=[RuleOutcome(rule=text, verdict="error", detail=text)])
    ET.fromstring(junit_report(gate, suite="smoke", release="f#2"))


def test_junit_of_a_run_has_a_case_for_each_item_and_metric() -> None:
    rows = [
        Row(item="a", scores={"ok": 1.0, "n": 3.0}),
        Row(item="b", scores={"ok": 0.0}, details={"ok": "it is not JSON"}),
        Row(item="c", failures={"ok": "the judge did not answer"}),
        Row(item="d", error="upstream_timeout: late"),
        Row(item="e", scores={"n": 1.0}),
    ]
    metrics = {"ok": MetricInfo(scorer="s", kind="binary"), "n": MetricInfo(scorer="s", kind="numeric")}
    text = junit_run(run({"ok": [1.0], "n": [1.0]}, metrics=metrics, rows=rows))
    tally = read_report(text.encode()).tally
    assert (tally.passed, tally.failed, tally.errors) == (1, 1, 2)
    assert 'message="it is not JSON"' in text


@given(
    values=st.lists(st.tuples(st.floats(-1e6, 1e6), st.floats(0, 1e6), st.floats(0, 1e6)), min_size=1, max_size=6),
)
def test_plots_hold_every_value_within_their_axis(values: list[tuple[float, float, float]]) -> None:
    marks = [
        Mark(label=str(n), value=value, low=value - down, high=value + up, tone="plain")
        for n, (value, down, up) in enumerate(values)
    ]
    root = ET.fromstring(forest(marks, unit="points"))
    for circle, line in zip(
        root.iter("circle"), [one for one in root if "whisker" in one.get("class", "")], strict=True
    ):
        assert 240 <= float(line.get("x1", "")) <= float(circle.get("cx", "")) + 0.1
        assert float(circle.get("cx", "")) <= float(line.get("x2", "")) + 0.1 <= 710.2


def test_nothing_different_is_told_too() -> None:
    same = run({"ok": [1.0] * 30})
    found = compare(same, same)
    text = markdown_report(found, judge_gate(GateSpec(rules=[Rule(metric="ok", at_least=90)]), same))
    assert "| ok | 100.0 % | 100.0 % | +0.0 |" in text
    assert "### ✅ Gate passed" in text
    assert Strict(html_report(found)).open == []
    empty = msgspec.structs.replace(found, metrics=[], slices=[])
    assert Strict(html_report(empty)).open == []


@pytest.mark.parametrize("verdict", ["inconclusive", "error"])
def test_every_verdict_is_told(verdict: str) -> None:
    gate = msgspec.convert(
        {"verdict": verdict, "rules": [{"rule": "r", "verdict": verdict, "detail": "d"}]}, GateReport
    )
    assert f"Gate {verdict}" in markdown_report(None, gate)
    assert f'class="gate {verdict}"' in html_report(None, gate)
    assert not gate.passed
