from __future__ import annotations

import math
import random
from typing import Any

import msgspec
import pytest
from tests.unit.evals.runs import run

from trimtab.artifacts.yaml_source import parse_yaml
from trimtab.core.errors import InputError, SourceError
from trimtab.evals.comparison import compare
from trimtab.evals.gate import judge_gate
from trimtab.evals.noise import noise_floor
from trimtab.evals.results import MetricInfo, Row
from trimtab.evals.suite import GateSpec, Rule, Suite, read_suite
from trimtab.stats import PairedCounts, clustered_mean, mcnemar, newcombe_interval, signed_rank, tango_interval

NUMERIC = {"score": MetricInfo(scorer="s", kind="numeric")}


def kinds(both: int, lost: int, gained: int, neither: int = 0) -> tuple[list[float], list[float]]:
    pairs = [(1.0, 1.0)] * both + [(1.0, 0.0)] * lost + [(0.0, 1.0)] * gained + [(0.0, 0.0)] * neither
    return [before for before, _ in pairs], [after for _, after in pairs]


def test_a_binary_metric_is_told_by_its_pairs() -> None:
    before, after = kinds(59, 16, 6, 80)
    found = compare(run({"ok": before}), run({"ok": after})).metrics[0]
    counts = PairedCounts(both_passed=59, lost=16, gained=6, both_failed=80)
    assert (found.method, found.items, found.baseline, found.candidate) == ("pairs", 161, 75 / 161, 65 / 161)
    assert found.interval == tango_interval(counts)
    assert found.newcombe == newcombe_interval(counts)
    assert found.p_value == pytest.approx(mcnemar(counts, mid=True))
    assert found.flips is not None
    assert found.flips.negative == 16 / 161
    assert found.flips.lost[0] == "i59"
    assert found.flips.expected is None
    assert found.needed is not None
    assert found.needed > 161


def test_power_is_told_for_five_points() -> None:
    before, after = kinds(90, 5, 5)
    found = compare(run({"ok": before}), run({"ok": after})).metrics[0]
    assert found.needed == 343
    assert found.detectable == pytest.approx(0.0926, abs=5e-4)


def test_a_numeric_metric_is_told_by_its_mean_and_its_ranks() -> None:
    draw = random.Random(2)
    before = [draw.gauss(5, 1) for _ in range(40)]
    after = [value + draw.gauss(0.4, 0.5) if n % 4 else value for n, value in enumerate(before)]
    found = compare(run({"score": before}, metrics=NUMERIC), run({"score": after}, metrics=NUMERIC)).metrics[0]
    differences = [b - a for a, b in zip(before, after, strict=True)]
    mean = clustered_mean(differences)
    assert mean is not None
    assert found.method == "means"
    assert found.interval == mean.interval()
    assert found.p_value == signed_rank(differences).p_value
    assert found.better_or_worse == "better"
    lower = {"score": msgspec.structs.replace(NUMERIC["score"], lower_is_better=True)}
    found = compare(run({"score": before}, metrics=lower), run({"score": after}, metrics=lower)).metrics[0]
    assert found.better_or_worse == "worse"


def test_items_in_groups_are_less_sure() -> None:
    before, after = kinds(60, 20, 0)
    alone = compare(run({"ok": before}), run({"ok": after})).metrics[0]
    groups = [str(n // 10) for n in range(80)]  # whole documents fail
    told = compare(run({"ok": before}, groups=groups), run({"ok": after}, groups=groups)).metrics[0]
    assert told.method == "clusters"
    assert told.clusters == 8
    assert told.design_effect is not None
    assert told.design_effect > 5
    assert told.interval is not None
    assert alone.interval is not None
    assert told.interval.low < alone.interval.low
    assert (told.p_value or 0) > (alone.p_value or 0)
    assert alone.better_or_worse == "worse"
    assert told.better_or_worse == "no difference shown"


def test_many_metrics_are_corrected_for() -> None:
    before, after = kinds(79, 8, 1)
    quiet = kinds(80, 4, 4)
    values = {f"quiet{n}": quiet for n in range(9)} | {"loud": (before, after)}
    one = compare(run({"loud": before}), run({"loud": after})).metrics[0]
    ten = compare(
        run({name: pair[0][:88] for name, pair in values.items()}),
        run({name: pair[1][:88] for name, pair in values.items()}),
    ).metric("loud")
    assert one.better_or_worse == "worse"
    assert ten is not None
    assert ten.adjusted == pytest.approx(min(1.0, 10 * (ten.p_value or 0)))
    assert ten.better_or_worse == "no difference shown"


def test_null_comparisons_rarely_say_anything() -> None:
    draw = random.Random(11)
    said = 0
    for _ in range(150):
        values = [{f"m{m}": [float(draw.random() < 0.8) for _ in range(60)] for m in range(4)} for _ in range(2)]
        found = compare(run(values[0]), run(values[1]))
        said += any(one.better_or_worse != "no difference shown" for one in found.metrics)
    assert said / 150 < 0.05 + 3 * math.sqrt(0.05 * 0.95 / 150)


def test_the_worst_slice_is_named_and_luck_is_not() -> None:
    draw = random.Random(4)
    slices = [{"lang": ("de", "en", "fr", "it")[n % 4], "id": str(n)} for n in range(400)]
    before = [1.0 if draw.random() < 0.9 else 0.0 for _ in slices]
    after = [0.0 if one["lang"] == "fr" and draw.random() < 0.3 else b for one, b in zip(slices, before, strict=True)]
    after = [1.0 if one["lang"] != "fr" and draw.random() < 0.5 else a for one, a in zip(slices, after, strict=True)]
    found = compare(run({"ok": before}, slices=slices), run({"ok": after}, slices=slices))
    assert found.metrics[0].difference > -0.05
    assert [(one.name, one.value) for one in found.worse_slices] == [("lang", "fr")]
    worst = found.slices[0]
    assert (worst.value, worst.items) == ("fr", 100)
    assert worst.interval is not None
    assert worst.interval.high < 0
    same = compare(run({"ok": before}, slices=slices), run({"ok": before}, slices=slices))
    assert same.worse_slices == []


def test_slices_of_equal_runs_are_hardly_ever_called_worse() -> None:
    draw = random.Random(8)
    slices = [{"topic": str(n % 12)} for n in range(240)]
    called = 0
    for _ in range(100):
        pair = [[float(draw.random() < 0.7) for _ in slices] for _ in range(2)]
        called += bool(compare(run({"ok": pair[0]}, slices=slices), run({"ok": pair[1]}, slices=slices)).worse_slices)
    assert called / 100 < 0.05 + 3 * math.sqrt(0.05 * 0.95 / 100)


def test_flips_are_told_in_excess_of_the_baselines_own() -> None:
    draw = random.Random(6)
    chances = [draw.choice((0.5, 1.0, 0.0)) for _ in range(300)]
    twice = [float(draw.random() < chance) for _ in range(2) for chance in chances]
    after = [float(draw.random() < chance) for chance in chances]
    found = compare(run({"ok": twice}, samples=2), run({"ok": after})).metrics[0]
    assert found.method == "means"
    assert found.noise is not None
    assert found.noise.flip_rate == pytest.approx(1 / 6, abs=0.05)
    assert found.flips is not None
    assert found.flips.excess is not None
    assert abs(found.flips.excess) < 0.05
    assert found.flips.excess_interval is not None
    assert found.flips.excess_interval.low < 0 < found.flips.excess_interval.high


def test_the_noise_floor_is_unbiased() -> None:
    draw = random.Random(9)
    values = {str(n): [float(draw.random() < 0.3) for _ in range(3)] for n in range(4000)}
    floor = noise_floor(values, binary=True)
    assert floor is not None
    assert floor.flip_rate == pytest.approx(2 * 0.3 * 0.7, abs=0.02)
    numbers = {str(n): [draw.gauss(n, 2.0) for _ in range(2)] for n in range(2000)}
    floor = noise_floor(numbers, binary=False)
    assert floor is not None
    assert floor.spread == pytest.approx(2.0, abs=0.15)
    assert noise_floor({"a": [1.0]}, binary=True) is None


def test_no_answer_is_no_pass() -> None:
    before, after = kinds(10, 0, 0)
    candidate = run({"ok": after}, rows=[*run({"ok": after}).rows[:9], Row(item="i9", error="upstream_timeout")])
    found = compare(run({"ok": before}), candidate)
    assert (found.metrics[0].candidate, found.metrics[0].items, found.unanswered) == (0.9, 10, 1)


def test_runs_over_different_items_are_not_compared() -> None:
    one = run({"ok": [1.0]})
    other = msgspec.structs.replace(one, tried=msgspec.structs.replace(one.tried, dataset_digest="sha256:other"))
    with pytest.raises(InputError, match="different items"):
        compare(one, other)
    with pytest.raises(InputError, match="no metric in common"):
        compare(one, run({"else": [1.0]}))


# --- gates --------------------------------------------------------------------------------------------------------


def gated(pair: tuple[list[float], list[float]], rule: dict[str, Any], **gate: Any) -> tuple[str, str]:
    one, other = run({"ok": pair[0]}), run({"ok": pair[1]})
    spec = GateSpec(rules=[msgspec.convert({"metric": "ok", **rule}, Rule)], **gate)
    report = judge_gate(spec, other, baseline=one, comparison=compare(one, other))
    return report.verdict, report.text


@pytest.mark.parametrize(
    ("pair", "rule", "verdict"),
    [
        (kinds(400, 4, 4), {"nonInferior": 5}, "passed"),
        (kinds(60, 3, 3), {"nonInferior": 5}, "inconclusive"),
        (kinds(300, 60, 4), {"nonInferior": 5}, "failed"),
        (kinds(100, 2, 20), {"superior": True}, "passed"),
        (kinds(100, 20, 2), {"superior": True}, "failed"),
        (kinds(100, 5, 6), {"superior": True}, "inconclusive"),
        (kinds(95, 0, 0, 5), {"atLeast": 95}, "passed"),
        (kinds(95, 0, 0, 5), {"atLeast": 96}, "failed"),
        (kinds(95, 0, 0, 5), {"atLeast": 94, "sure": True}, "inconclusive"),
        (kinds(995, 0, 0, 5), {"atLeast": 98, "sure": True}, "passed"),
        (kinds(50, 0, 0, 50), {"atMost": 40, "sure": True}, "failed"),
        (kinds(400, 1, 9), {"maxNegativeFlips": 2}, "passed"),
        (kinds(400, 40, 60), {"maxNegativeFlips": 2}, "failed"),
        (kinds(100, 1, 0), {"maxNegativeFlips": 2}, "inconclusive"),
    ],
)
def test_a_rule_passes_fails_or_cannot_say(
    pair: tuple[list[float], list[float]], rule: dict[str, Any], verdict: str
) -> None:
    assert gated(pair, rule)[0] == verdict


def test_a_gate_that_cannot_say_tells_how_many_items_would() -> None:
    verdict, text = gated(kinds(90, 5, 5), {"nonInferior": 5})
    assert verdict == "inconclusive"
    assert "about 343 items show it nine times in ten" in text


def test_few_items_show_nothing() -> None:
    verdict, text = gated(kinds(10, 0, 0), {"nonInferior": 30})
    assert verdict == "inconclusive"
    assert "10 pairs, and fewer than 20 (`minItems`) show nothing" in text
    assert gated(kinds(10, 0, 0), {"nonInferior": 30}, min_items=5)[0] == "passed"
    grouped = run({"ok": [1.0] * 190}, groups=[str(n % 19) for n in range(190)])
    report = judge_gate(GateSpec(rules=[Rule(metric="ok", non_inferior=30)]), grouped, baseline=grouped)
    assert "19 groups of pairs, and fewer than 20 (`minItems`) show nothing" in report.text


@pytest.mark.parametrize("rule", [{"atLeast": 95}, {"atLeast": 60, "sure": True}])
def test_a_level_is_not_passed_by_a_handful_of_items(rule: dict[str, Any]) -> None:
    verdict, text = gated(kinds(10, 0, 0), rule)
    assert verdict == "inconclusive"
    assert "10 items, and fewer than 20 (`minItems`) show nothing" in text
    assert gated(kinds(10, 0, 0), rule, min_items=10)[0] == "passed"
    assert gated(kinds(0, 10, 0), rule)[0] == "failed"  # what was seen to be wrong is wrong


def test_no_slice_is_no_proof_that_none_is_worse() -> None:
    one = run({"ok": [1.0] * 50})
    gate = GateSpec(rules=[Rule(metric="ok", at_least=95)], no_worse_slice=True)
    report = judge_gate(gate, one, baseline=one, comparison=compare(one, one))
    assert report.verdict == "inconclusive"
    assert "there is no slice to look at" in report.text


def test_items_that_passed_each_time_are_no_certainty() -> None:
    """Answered twice, nothing varies: the standard error alone would be 0."""
    ones = run({"ok": [1.0] * 50}, samples=2)
    tried = GateSpec(rules=[Rule(metric="ok", non_inferior=5)])
    assert judge_gate(tried, ones, baseline=ones).verdict == "inconclusive"
    ones = run({"ok": [1.0] * 400}, samples=2)
    assert judge_gate(tried, ones, baseline=ones).verdict == "passed"


def test_at_the_margin_a_gate_over_groups_passes_hardly_oftener_than_alpha() -> None:
    """One document in five is lost by a quarter: five points in all. Taken for independent, items would say more."""
    draw = random.Random(1)
    gate = GateSpec(rules=[Rule(metric="ok", non_inferior=5)])
    groups = [str(n // 5) for n in range(200)]
    passed = 0
    for _ in range(400):
        hit = [draw.random() < 0.2 for _ in range(40)]
        before = [float(draw.random() < 0.9) for _ in groups]
        after = [float(draw.random() < (0.65 if hit[int(group)] else 0.9)) for group in groups]
        one, other = run({"ok": before}, groups=groups), run({"ok": after}, groups=groups)
        passed += judge_gate(gate, other, baseline=one).passed
    assert passed / 400 < 0.05 + 3 * math.sqrt(0.05 * 0.95 / 400)


def test_a_gate_is_an_error_where_it_cannot_be_judged() -> None:
    before, after = kinds(50, 0, 0)
    one, other = run({"ok": before}), run({"ok": after})
    rules = [Rule(metric="ok", non_inferior=10)]
    assert judge_gate(GateSpec(rules=rules), other, baseline=one).passed
    assert judge_gate(GateSpec(), other, baseline=one).verdict == "error"
    assert judge_gate(GateSpec(rules=rules), other).verdict == "error"
    stopped = msgspec.structs.replace(other, stopped="the budget ended")
    assert "the budget ended" in judge_gate(GateSpec(rules=rules), stopped, baseline=one).text
    barred = judge_gate(GateSpec(rules=rules), other, baseline=one, barred={"ok": "it agrees with nobody"})
    assert barred.verdict == "error"
    assert "may not gate: it agrees with nobody" in barred.text
    silent = msgspec.structs.replace(other, rows=[*other.rows[:-1], Row(item="i49", error="upstream_timeout: late")])
    assert "1 of 50 have no answer (the first: upstream_timeout: late)" in (
        judge_gate(GateSpec(rules=rules), silent, baseline=one).text
    )
    assert judge_gate(GateSpec(rules=rules, max_unanswered=2), silent, baseline=one).verdict != "error"
    failed = msgspec.structs.replace(other, rows=[*other.rows[:-1], Row(item="i49", failures={"ok": "boom"})])
    assert "the scorer failed on 1 (the first: boom)" in judge_gate(GateSpec(rules=rules), failed, baseline=one).text


def test_a_baseline_that_could_not_be_asked_is_not_easily_matched() -> None:
    good = run({"ok": [1.0] * 50})
    rules = [Rule(metric="ok", non_inferior=10)]
    rows = [Row(item=f"i{n}", scores={"ok": 0.0}, error="down") for n in range(50)]
    down = msgspec.structs.replace(good, rows=rows)
    report = judge_gate(GateSpec(rules=rules, max_unanswered=100), good, baseline=down)
    assert report.verdict == "error"
    assert "baseline: something is answered: all 50 calls failed, the first with down" in report.text
    most = msgspec.structs.replace(good, rows=[*good.rows[:1], *rows[1:]])
    report = judge_gate(GateSpec(rules=rules), good, baseline=most)
    assert "baseline: at most 0 % unanswered: 49 of 50 have no answer (the first: down)" in report.text
    stopped = msgspec.structs.replace(good, stopped="the budget ended")
    assert (
        "baseline: the run is complete: the budget ended"
        in judge_gate(GateSpec(rules=rules), good, baseline=stopped).text
    )
    unjudged = msgspec.structs.replace(good, rows=[*good.rows[:-1], Row(item="i49", failures={"ok": "boom"})])
    assert "baseline: at most 0 % ok unjudged" in judge_gate(GateSpec(rules=rules), good, baseline=unjudged).text
    level = GateSpec(rules=[Rule(metric="ok", at_least=90)])
    assert judge_gate(level, good, baseline=down).passed  # which asks nothing of the baseline


def test_a_worse_slice_fails_a_gate_that_asks_for_it() -> None:
    slices = [{"lang": "de" if n < 40 else "en"} for n in range(200)]
    before = [1.0] * 200
    after = [0.0] * 15 + [1.0] * 185
    one, other = run({"ok": before}, slices=slices), run({"ok": after}, slices=slices)
    rules = [Rule(metric="ok", non_inferior=15)]
    comparison = compare(one, other)
    assert judge_gate(GateSpec(rules=rules), other, baseline=one, comparison=comparison).passed
    report = judge_gate(GateSpec(rules=rules, no_worse_slice=True), other, baseline=one, comparison=comparison)
    assert report.verdict == "failed"
    assert "lang=de (ok)" in report.text


def test_numbers_have_margins_of_their_own_unit_or_in_percent() -> None:
    draw = random.Random(3)
    before = [draw.uniform(90, 110) for _ in range(60)]
    after = [value + draw.gauss(3, 1) for value in before]
    info = {"ms": MetricInfo(scorer="s", kind="numeric", lower_is_better=True)}
    one, other = run({"ms": before}, metrics=info), run({"ms": after}, metrics=info)
    for margin, verdict in ((5.0, "passed"), (2.0, "failed"), ("5%", "passed"), ("1%", "failed")):
        gate = GateSpec(rules=[Rule(metric="ms", non_inferior=margin)])
        assert judge_gate(gate, other, baseline=one).verdict == verdict


# --- suites -------------------------------------------------------------------------------------------------------

SUITE = """\
name: smoke
scorers:
  - {type: equals, ignoreCase: true}
  - {type: json, name: schema, ofRelease: true}
  - {type: latency}
gate:
  alpha: 0.05
  noWorseSlice: true
  rules:
    - {metric: equals, nonInferior: 5}
    - {metric: schema, atLeast: 99, sure: true}
    - {metric: latency, nonInferior: 10%}
"""


def suite(text: str) -> Suite:
    return read_suite(parse_yaml(text, "suite.yaml"))


def test_a_suite_is_read() -> None:
    found = suite(SUITE)
    assert list(found.metrics) == ["equals", "schema", "latency"]
    assert [rule.metric for rule in found.gate.rules] == ["equals", "schema", "latency"]
    assert found.gate.no_worse_slice


@pytest.mark.parametrize(
    ("old", "new", "said", "line"),
    [
        ("name: smoke", "name: Smoke Test", "cannot name a suite", 1),
        ("type: equals", "type: equal", "there is no scorer of type `equal`", 3),
        ("name: schema", "name: is it JSON?", "cannot name a metric", 4),
        ("name: schema", "name: equals", "two scorers make the metric `equals`", 4),
        ("name: schema", "name: checks", "two scorers make the metric `checks`", 4),
        ("metric: equals", "metric: exact", "a rule is about `exact`", 6),
        ("nonInferior: 5}", "nonInferior: 5, atLeast: 3}", "needs exactly one of", 6),
        ("nonInferior: 5}", "nonInferior: 5%}", "the margin `5%` of `equals` is none", 6),
        ("nonInferior: 10%", "maxNegativeFlips: 1", "is a number, which cannot flip", 6),
        ("alpha: 0.05", "alpha: 0.6", "alpha 0.6 is not in", 6),
        ("alpha: 0.05", "alhpa: 0.05", "unknown field `alhpa`", 6),
        ("gate:", "gates:", "`gates` is not a known field", 6),
    ],
)
def test_what_is_wrong_in_a_suite_is_told_with_its_line(old: str, new: str, said: str, line: int) -> None:
    with pytest.raises(SourceError, match=said) as caught:
        suite(SUITE.replace(old, new))
    assert caught.value.param == f"suite.yaml:{line}"
