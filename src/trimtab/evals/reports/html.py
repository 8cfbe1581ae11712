"""A comparison as one page that needs nothing else: no network, no script; light and dark."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Literal

import msgspec

from trimtab.evals.reports import words
from trimtab.evals.reports.plots import Mark, forest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trimtab.evals.comparison import Comparison, MetricComparison
    from trimtab.evals.gate import GateReport
    from trimtab.stats import Interval

__all__ = ["Example", "html_report"]

_SLICES = 20
_LONGEST_TEXT = 4_000
_TONES: dict[str, Literal["better", "worse"]] = {"better": "better", "worse": "worse"}
_STYLE = """
:root{color-scheme:light dark;--ink:#1b1f24;--soft:#5b6570;--line:#d6dbe1;--page:#fff;--card:#f6f8fa;--good:#1a7f37;
--bad:#c1121f;--doubt:#9a6700;--plain:#3b5b92}
@media(prefers-color-scheme:dark){:root{--ink:#e6edf3;--soft:#9aa5b1;--line:#343b44;--page:#0d1117;--card:#161b22;
--good:#3fb950;--bad:#ff7b72;--doubt:#d29922;--plain:#79a7f3}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--page);max-width:900px;margin:2rem auto;
padding:0 1rem}
h1{font-size:1.35rem;margin:0 0 .3rem}h2{font-size:1.05rem;margin:2rem 0 .5rem}p{margin:.3rem 0;color:var(--soft)}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{text-align:right;padding:.3rem .5rem;border-bottom:1px solid var(--line)}th{font-weight:600;color:var(--soft)}
th:first-child,td:first-child,td.text,th.text{text-align:left}
.gate{border:1px solid var(--line);border-left-width:6px;border-radius:6px;background:var(--card);padding:.7rem 1rem;
margin:1rem 0}.gate.passed{border-left-color:var(--good)}.gate.failed,.gate.error{border-left-color:var(--bad)}
.gate.inconclusive{border-left-color:var(--doubt)}.gate ul{margin:.4rem 0 0;padding-left:1.1rem}
.better{color:var(--good)}.worse{color:var(--bad)}.passed b{color:var(--good)}.failed b,.error b{color:var(--bad)}
.inconclusive b{color:var(--doubt)}
svg{width:100%;height:auto}svg text{font:12px system-ui,sans-serif;fill:var(--ink)}
svg .label{text-anchor:end}svg .tick{text-anchor:middle;fill:var(--soft)}svg .note{fill:var(--soft)}
svg .grid{stroke:var(--line)}svg .zero{stroke:var(--ink);stroke-width:1.5}
svg .limit{stroke:var(--doubt);stroke-width:2;stroke-dasharray:3 2}
svg .whisker{stroke-width:2.5}svg .plain{stroke:var(--plain);fill:var(--plain)}
svg .better{stroke:var(--good);fill:var(--good)}svg .worse{stroke:var(--bad);fill:var(--bad)}
details{border-bottom:1px solid var(--line);padding:.3rem 0}summary{cursor:pointer}
dt{color:var(--soft);margin-top:.4rem}dd{margin:0}pre{background:var(--card);padding:.5rem;border-radius:4px;
white-space:pre-wrap;overflow-wrap:anywhere;margin:.2rem 0}
code{background:var(--card);padding:.05rem .3rem;border-radius:3px}
"""


class Example(msgspec.Struct, frozen=True, kw_only=True):
    """An item that was lost, as text."""

    asked: str
    before: str
    after: str
    why: dict[str, str] = {}
    """By metric."""


def html_report(
    comparison: Comparison | None, gate: GateReport | None = None, examples: Mapping[str, Example] | None = None
) -> str:
    """Return the page; `examples` are texts of items that were lost, by item."""
    title = words.headline(comparison) if comparison is not None else "Gate"
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width,initial-scale=1">',
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body><h1>{escape(title)}</h1>",
    ]
    if comparison is not None:
        one, other = comparison.baseline, comparison.candidate
        parts.append(f"<p>Suite <code>{escape(one.suite)}</code>; {escape(one.model)} → {escape(other.model)}</p>")
    if gate is not None:
        parts.append(_gate(gate))
    if comparison is not None:
        parts += [_metrics(comparison), _plots(comparison), _flips(comparison), _slices(comparison)]
        parts.append(_lost(comparison, examples or {}))
    return "".join([*parts, "</body></html>\n"])


def _gate(gate: GateReport) -> str:
    rules = "".join(
        f'<li class="{one.verdict}"><b>{one.verdict}</b> {escape(one.rule)}: {escape(one.detail)}</li>'
        for one in gate.rules
    )
    return f'<div class="gate {gate.verdict}"><b>Gate {gate.verdict}</b><ul>{rules}</ul></div>'


def _metrics(comparison: Comparison) -> str:
    rows = []
    for one in comparison.metrics:
        tone = one.better_or_worse if one.better_or_worse != "no difference shown" else ""
        cells = (
            words.level(one.baseline, one.kind),
            words.level(one.candidate, one.kind),
            words.difference(one.difference, one.kind),
            words.interval(one.interval, one.kind),
            words.p_value(one.adjusted),
        )
        numbers = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
        rows.append(f'<tr><td>{escape(one.metric)}</td>{numbers}<td class="{tone}">{tone}</td></tr>')
    level = f"{100 * (1 - comparison.alpha):g} %"
    return (
        "<h2>Metrics</h2><table><tr><th>metric</th><th>baseline</th><th>candidate</th><th>difference</th>"
        f"<th>{level} interval</th><th>p (BH)</th><th></th></tr>{''.join(rows)}</table>"
    )


def _plots(comparison: Comparison) -> str:
    shares = [one for one in comparison.metrics if one.kind == "binary" and one.interval is not None]
    numbers = [one for one in comparison.metrics if one.kind == "numeric" and one.interval is not None and one.baseline]
    parts = []
    if shares:
        marks = [_mark(one, 100.0) for one in shares]
        parts.append(f"<h2>Shares that pass</h2>{forest(marks, unit='points; dashes are margins')}")
    if numbers:
        marks = [_mark(one, 100.0 / abs(one.baseline)) for one in numbers]
        parts.append(f"<h2>Measurements</h2>{forest(marks, unit='percent of the mean of the baseline')}")
    return "".join(parts)


def _mark(one: MetricComparison, scale: float) -> Mark:
    found: Interval = one.interval  # type: ignore[assignment]  # those without were left out
    sign = 1.0 if one.lower_is_better else -1.0
    return Mark(
        label=one.metric,
        value=scale * one.difference,
        low=scale * found.low,
        high=scale * found.high,
        tone=_TONES.get(one.better_or_worse, "plain"),
        limit=None if one.margin is None else sign * scale * one.margin,
        note=f"{one.items:,} pairs",
    )


def _flips(comparison: Comparison) -> str:
    told = []
    for one in comparison.metrics:
        text = "; ".join(part for part in (words.flips(one), words.power(one)) if part)
        if text:
            told.append(f"<li><code>{escape(one.metric)}</code>: {escape(text)}</li>")
    return f"<h2>Flips and power</h2><ul>{''.join(told)}</ul>" if told else ""


def _slices(comparison: Comparison) -> str:
    kinds = {one.metric: one.kind for one in comparison.metrics}
    shown = [one for one in comparison.slices if kinds[one.metric] == "binary" and one.interval is not None][:_SLICES]
    if not shown:
        return ""
    marks = [
        Mark(
            label=f"{one.name}={one.value} {one.metric}",
            value=100 * one.difference,
            low=100 * (one.interval.low if one.interval else 0.0),
            high=100 * (one.interval.high if one.interval else 0.0),
            tone="worse" if one.worse else "plain",
            note=f"{one.items:,} items, p {words.p_value(one.adjusted)}",
        )
        for one in shown
    ]
    worse = len(comparison.worse_slices)
    said = f"{worse:,} of {len(comparison.slices):,} are worse" if worse else "none is shown to be worse"
    return (
        f"<h2>Slices, worst first</h2><p>{said}, corrected for looking at all of them "
        "(one-sided tests). The intervals are two-sided and hold all together, so one may reach across 0.</p>"
        f"{forest(marks, unit='points')}"
    )


def _lost(comparison: Comparison, examples: Mapping[str, Example]) -> str:
    metrics: dict[str, list[str]] = {}
    for one in comparison.metrics:
        for item in one.flips.lost if one.flips is not None else []:
            metrics.setdefault(item, []).append(one.metric)
    parts = [_example(item, names, examples.get(item)) for item, names in metrics.items()]
    return f"<h2>Items that passed before and do not any more</h2>{''.join(parts)}" if parts else ""


def _example(item: str, metrics: list[str], example: Example | None) -> str:
    named = f"<code>{escape(item)}</code> {escape(', '.join(metrics))}"
    if example is None:
        return f"<p>{named}</p>"
    why = "; ".join(f"{metric}: {text}" for metric, text in example.why.items() if metric in metrics)
    texts = (("asked", example.asked), ("baseline", example.before), ("candidate", example.after))
    shown = "".join(f"<dt>{name}</dt><dd><pre>{escape(text[:_LONGEST_TEXT])}</pre></dd>" for name, text in texts)
    return f"<details><summary>{named} {escape(why)}</summary><dl>{shown}</dl></details>"
