"""The picture of a rehearsal: when rollouts end, whom they touch until then, and what each metric notices."""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trimtab.rollout.rehearsal.report import RehearsalReport, ScenarioSummary
    from trimtab.rollout.rehearsal.strength import MetricStrength

__all__ = ["draw_svg", "duration_words"]

_WIDTH = 760
_LEFT, _RIGHT = 76, 24
_PLOT, _GAP, _HEAD = 190, 108, 76
_ROW = 30
_SPANS = (1, 5, 15, 60, 300, 900, 3600, 2 * 3600, 6 * 3600, 12 * 3600, 86400, 2 * 86400, 7 * 86400)
_MOST_TICKS = 8
_LETTER = 7.2
"""Width of a letter, at most, in the size of the labels."""
_SWATCH = 40
_LONGEST_NAME = 28
_STYLE = """
  .rehearsal { --ink: #24231f; --soft: #6b675f; --grid: #dedbd3; --paper: #ffffff; --good: #1a7f5a; --bad: #c2412d;
               --odd: #b7791f; background: var(--paper); font: 13px system-ui, sans-serif }
  @media (prefers-color-scheme: dark) {
    .rehearsal { --ink: #eceae4; --soft: #a7a399; --grid: #3a3833; --paper: #1b1a17; --good: #4cc38a; --bad: #f0705a;
                 --odd: #e5b567 }
  }
  .rehearsal text { fill: var(--ink) } .rehearsal .title { font-size: 15px; font-weight: 600 }
  .rehearsal .soft { fill: var(--soft); font-size: 12px } .rehearsal .grid { stroke: var(--grid) }
  .rehearsal path { fill: none; stroke-width: 2.5 } .rehearsal .dashed { stroke-dasharray: 5 4; stroke-width: 1.5 }
"""
_GOOD, _BAD, _ODD = "var(--good)", "var(--bad)", "var(--odd)"
_UNCHANGED, _FAULTY = "unchanged", "with the fault"


def draw_svg(report: RehearsalReport) -> str:
    """Return the picture as SVG, for white and for dark paper."""
    scenarios = [(_UNCHANGED, report.healthy), *([(_FAULTY, report.faulty)] if report.faulty else [])]
    longest = 1.02 * max(1.0, *(scenario.touched[-1].seconds for _, scenario in scenarios))
    strengths = _HEAD + 2 * (_PLOT + _GAP)
    height = strengths + 24 + _ROW * len(report.metrics)
    size = f'width="{_WIDTH}" height="{height}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="rehearsal" {size} viewBox="0 0 {_WIDTH} {height}" role="img">',
        "<title>What to expect of the rollout</title>",
        f"<style>{_STYLE}</style>",
        f'<rect {size} fill="var(--paper)"/>',
        *_endings(scenarios, longest, _HEAD),
        *_touched(scenarios, longest, _HEAD + _PLOT + _GAP),
        *_strengths(report.metrics, strengths),
        "</svg>",
        "",
    ]
    return "\n".join(parts)


def duration_words(seconds: float) -> str:
    """Return a span of time in two figures and the unit people would take: `40 s`, `25 min`, `9.6 h`, `2.1 days`."""
    for unit, size in (("days", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.2g} {unit}" if seconds < 10 * size else f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def _endings(scenarios: Sequence[tuple[str, ScenarioSummary]], longest: float, top: float) -> list[str]:
    curves = [
        (f"{who} {what}: {len(times) / scenario.runs:.0%}", colour, times, scenario.runs)
        for who, scenario in scenarios
        for what, times, colour in (
            ("rolled back", scenario.rollback_seconds, _BAD if who == _FAULTY else _ODD),
            ("promoted", scenario.promotion_seconds, _GOOD if who == _UNCHANGED else _ODD),
        )
        if times
    ]
    parts = _frame("Share of the rehearsals that had ended, by time since the start", longest, 1.0, top, percent=True)
    parts += _legend([(label, colour) for label, colour, _, _ in curves], top)
    for _, colour, times, runs in curves:
        path = f"M{_x(0, longest):.1f},{_y(0, 1, top):.1f}"
        for index, at in enumerate(times):
            path += f"H{_x(at, longest):.1f}V{_y((index + 1) / runs, 1, top):.1f}"
        parts.append(f'<path d="{path}H{_WIDTH - _RIGHT}" stroke="{colour}"/>')
    if not curves:
        parts.append(
            _text((_LEFT + _WIDTH - _RIGHT) / 2, top + _PLOT / 2, "none ended without a person", "soft", "middle")
        )
    return parts


def _touched(scenarios: Sequence[tuple[str, ScenarioSummary]], longest: float, top: float) -> list[str]:
    most = max(max(at.high for at in scenario.touched) for _, scenario in scenarios)
    scale = _round_up(max(most, 1.0))
    parts = _frame("Users who had met the candidate (median; dashed: nine of ten at most)", longest, scale, top)
    colours = {_UNCHANGED: _GOOD, _FAULTY: _BAD}
    parts += _legend([(who, colours[who]) for who, _ in scenarios], top)
    for who, scenario in scenarios:
        for name, kind in (("high", "dashed"), ("median", "")):
            points = [
                f"{_x(at.seconds, longest):.1f},{_y(getattr(at, name), scale, top):.1f}" for at in scenario.touched
            ]
            parts.append(f'<path class="{kind}" d="M{"L".join(points)}" stroke="{colours[who]}"/>')
    return parts


def _strengths(metrics: Sequence[MetricStrength], top: float) -> list[str]:
    parts = [_text(_LEFT, top - 28, "Smallest fault noticed in four of five rehearsals (shorter is stronger)", "title")]
    names = [_shortened(metric.name) for metric in metrics]
    left = max(float(_LEFT), 24 + _LETTER * max(map(len, names)))
    room = _WIDTH - _RIGHT - left - 180
    largest = max((metric.detectable or 0.0 for metric in metrics), default=0.0) or 1.0
    for index, metric in enumerate(metrics):
        y = top + index * _ROW
        parts.append(_text(left - 10, y + 4, names[index], "", "end"))
        if metric.role in {"goal", "dry run"}:
            parts.append(_text(left, y + 4, f"rolls nothing back ({metric.role})", "soft"))
            continue
        size = largest if metric.detectable is None else metric.detectable
        width = max(2.0, room * math.sqrt(size / largest))
        colour = _BAD if metric.weak else _GOOD
        label = "no fault" if metric.detectable is None else f"{'+' if metric.scaled else ''}{100 * size:.2g} %"
        parts.append(f'<rect x="{left:.1f}" y="{y - 8}" width="{width:.1f}" height="16" rx="3" fill="{colour}"/>')
        parts.append(_text(left + width + 8, y + 4, label + (", too weak" if metric.weak else "")))
    return parts


def _frame(title: str, longest: float, scale: float, top: float, *, percent: bool = False) -> list[str]:
    parts = [_text(_LEFT, top - 48, title, "title")]
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        y = _y(share, 1.0, top)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        label = f"{share:.0%}" if percent else f"{share * scale:,.0f}" if scale >= 4 or share in {0, 1} else ""  # noqa: PLR2004 - quarters
        parts.append(_text(_LEFT - 10, y + 4, label, "soft", "end"))
    span = next(
        (one for one in _SPANS if longest / one <= _MOST_TICKS), math.ceil(longest / _SPANS[-1] / 8) * _SPANS[-1]
    )
    for index in range(int(longest // span) + 1):
        label = "start" if index == 0 else duration_words(index * span)
        parts.append(_text(_x(index * span, longest), top + _PLOT + 20, label, "soft", "middle"))
    return parts


def _legend(entries: Sequence[tuple[str, str]], top: float) -> list[str]:
    """Two to a row, in columns."""
    parts, width = [], _SWATCH + _LETTER * max((len(label) for label, _ in entries), default=0)
    for index, (label, colour) in enumerate(entries):
        x, y = _LEFT + width * (index % 2), top - 28 + 16 * (index // 2)
        parts.append(f'<rect x="{x:.1f}" y="{y - 10}" width="11" height="11" rx="2" fill="{colour}"/>')
        parts.append(_text(x + 16, y, label, "soft"))
    return parts


def _text(x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _shortened(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"


def _round_up(value: float) -> float:
    """Return the next round number whose quarters are round as well."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(power * step for step in (1, 2, 4, 8, 10) if power * step >= value)


def _x(seconds: float, longest: float) -> float:
    return _LEFT + (_WIDTH - _LEFT - _RIGHT) * seconds / longest


def _y(value: float, scale: float, top: float) -> float:
    return top + _PLOT * (1.0 - value / scale)
