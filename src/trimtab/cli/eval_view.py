"""What `trimtab eval` prints for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trimtab.cli.output import say, table
from trimtab.core.quantity import quantity

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from trimtab.evals.calibration import CalibrationReport
    from trimtab.evals.comparison import Comparison
    from trimtab.evals.gate import GateReport
    from trimtab.evals.results import EvalRun
    from trimtab.releases.eval_result import EvalResult

__all__ = ["print_calibration", "print_comparison", "print_gate", "print_run", "warn_unawaited"]

_SLICES = 5
_FAILURES = 3


def print_run(run: EvalRun) -> None:
    """Print a run."""
    from trimtab.evals.noise import noise_floor
    from trimtab.evals.reports import words

    tried = run.tried
    split = "" if tried.split == "all" else f" ({tried.split})"
    answers = quantity(run.answered, "answer")
    print(f"{tried.label} ({tried.model}) on {tried.dataset}{split} by `{tried.suite}`: {answers}")
    print(f"  {run.cached:,} were there already, ${run.spent_usd:,.4f} spent, {run.unanswered:,} failed")
    if run.no_answer:
        return  # a release that answers nothing passes nothing, which looks like a measurement
    rows = []
    for metric, info in run.metrics.items():
        values = run.values(metric)
        means = [sum(each) / len(each) for each in values.values()]
        noise = noise_floor(values, binary=info.kind == "binary")
        floor = "-"
        if noise is not None:
            floor = f"flips {noise.flip_rate:.1%}" if noise.flip_rate is not None else f"± {noise.spread:.3g}"
        mean = words.level(sum(means) / len(means), info.kind) if means else "-"
        failed = sum(metric in row.failures for row in run.rows)
        rows.append((f"  {metric}", f"{len(means):,}", mean, floor, f"{failed:,}" if failed else ""))
    print(table(("  metric", "items", "mean", "against itself", "unjudged"), rows, right=(1, 2)))
    for metric, info in run.metrics.items():
        flips = [row.flips[metric] for row in run.rows if metric in row.flips]
        if flips:
            print(f"  {metric}: the order decided {sum(flips) / len(flips):.1%} of {quantity(len(flips), 'pair')}")
        wrong = [row for row in run.rows if info.kind == "binary" and row.scores.get(metric) == 0.0]
        for row in wrong[:_FAILURES]:
            print(f"  {metric}: {row.item}: {row.details.get(metric, 'did not pass')}")
        if len(wrong) > _FAILURES:
            print(f"  {metric}: and {len(wrong) - _FAILURES:,} more")
    first = next((row.error for row in run.rows if row.error), "")
    if first:
        say(f"the first failure: {first}")


def print_comparison(found: Comparison) -> None:
    """Print a comparison."""
    from trimtab.evals.reports import words

    print(words.headline(found))
    rows = [
        (
            f"  {one.metric}",
            words.level(one.baseline, one.kind),
            words.level(one.candidate, one.kind),
            words.difference(one.difference, one.kind),
            words.interval(one.interval, one.kind),
            words.p_value(one.adjusted),
            one.better_or_worse,
        )
        for one in found.metrics
    ]
    header = ("  metric", "baseline", "candidate", "change", f"{100 * (1 - found.alpha):g} % interval", "p (BH)", "")
    print(table(header, rows, right=(1, 2, 3, 5)))
    for one in found.metrics:
        for text in (words.flips(one), words.power(one)):
            if text:
                print(f"  {one.metric}: {text}")
    if found.unanswered:
        print(f"  {quantity(found.unanswered, 'answer')} of the candidate failed")
    kinds = {one.metric: one.kind for one in found.metrics}
    worst = found.worse_slices or found.slices[:_SLICES]
    if worst:
        shown = "worse slices" if found.worse_slices else "worst slices, none shown to be worse"
        print(f"  {shown}, of {len(found.slices):,} looked at:")
        for each in worst:
            print(f"    {words.slice_line(each, kinds[each.metric])}")


def print_gate(report: GateReport) -> None:
    """Print how a gate ended."""
    print(f"gate {report.verdict.upper() if not report.passed else report.verdict}")
    for one in report.rules:
        print(f"  [{'x' if one.verdict == 'passed' else ' '}] {one.rule}: {one.verdict}: {one.detail}")


def print_calibration(report: CalibrationReport) -> None:
    """Print how a judge agrees with people."""
    found = report.calibration
    print(f"`{found.metric}` by {found.judge}, held against people")
    rows = [
        (
            f"  {one.family}",
            f"{one.labelled:,}",
            "-" if one.agreement is None else f"{one.agreement:.1%} [{one.interval.low:.1%}, {one.interval.high:.1%}]",
            _number(one.alpha),
            _number(one.people_alpha),
            "-" if one.bias is None else f"{one.bias:+.3f}",
            "-" if one.flip_rate is None else f"{one.flip_rate:.1%}",
        )
        for one in found.families.values()
    ]
    header = ("  model", "labels", "agrees", "alpha", "people", "bias", "order")
    print(table(header, rows, right=(1, 3, 4, 5, 6)))
    means = [
        (
            f"  {one.release}",
            f"{one.answers:,}",
            f"{one.labelled:,}",
            f"{one.judged:.3f}",
            _number(one.corrected),
            "-" if one.interval is None else f"[{one.interval.low:.3f}, {one.interval.high:.3f}]",
        )
        for one in report.releases
    ]
    print(table(("  release", "answers", "labels", "its mean", "people's", "95 % interval"), means, right=(1, 2, 3, 4)))
    change = report.change
    if change is not None:
        low, high = change.interval.low, change.interval.high
        print(
            f"  from {change.baseline} to {change.candidate}: the judge says {change.judged:+.3f}, "
            f"people {change.corrected:+.3f} [{low:+.3f}, {high:+.3f}]"
        )
    if report.refusal:
        print(f"  may not gate: {report.refusal}")
    else:
        print(f"  may gate: it {report.agreement}")


def warn_unawaited(result: EvalResult, awaited: Mapping[str, Sequence[str]]) -> None:
    """Say so where no plan waits for a result: its suite, or the dataset that it is over.

    `awaited`: the suites that plans wait for, each with the datasets that steps pin (empty for none).
    """
    from trimtab.artifacts.document import nearest

    pins = awaited.get(result.suite)
    if pins is None:
        hint = nearest(result.suite, awaited) if awaited else f"a step `offlineEval: {{suite: {result.suite}}}` does"
        say(f"warning: no plan of {result.feature} waits for the suite `{result.suite}`; {hint}")
    elif not {"", result.dataset, result.dataset_digest} & set(pins):
        on = f"over {result.dataset}" if result.dataset else "over no dataset that was named"
        say(
            f"warning: plans of {result.feature} wait for `{result.suite}` over {', '.join(dict.fromkeys(pins))}, and "
            f"this result, {on}, does not count there; name it with --dataset"
        )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
