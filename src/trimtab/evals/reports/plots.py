"""Plots as SVG, drawn with the page's own colours."""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING, Literal

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Mark", "forest"]

_WIDTH, _LABELS, _RIGHT, _ROW, _TOP, _BOTTOM = 860, 240, 150, 28, 10, 34
_TICKS = 6
_NARROWEST = 1e-9


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """One row of a forest plot."""

    label: str
    value: float
    low: float
    high: float
    tone: Literal["better", "worse", "plain"]
    limit: float | None = None
    """A margin, drawn as a tick of its own."""
    note: str = ""
    """Stands at the right."""


def forest(marks: Sequence[Mark], *, unit: str) -> str:
    """Return values with their intervals, one a row, around a line at zero."""
    ends = [0.0]
    for mark in marks:
        ends += [mark.value, mark.low, mark.high] + ([mark.limit] if mark.limit is not None else [])
    finite = [end for end in ends if math.isfinite(end)]
    low, high, step = _axis(min(finite), max(finite))
    height = _TOP + _ROW * len(marks) + _BOTTOM
    base = _TOP + _ROW * len(marks)

    def x(value: float) -> float:
        span = _WIDTH - _LABELS - _RIGHT
        return _LABELS + span * (min(max(value, low), high) - low) / (high - low)

    parts = [
        f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="differences with intervals, {escape(unit)}">'
    ]
    tick = low
    while tick <= high + step / 2:
        kind = "zero" if abs(tick) < step / 1e6 else "grid"
        parts.append(f'<line class="{kind}" x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="{_TOP}" y2="{base}"/>')
        parts.append(f'<text class="tick" x="{x(tick):.1f}" y="{base + 16}">{_number(tick, step)}</text>')
        tick += step
    middle = (_LABELS + _WIDTH - _RIGHT) / 2
    parts.append(f'<text class="tick" x="{middle:.0f}" y="{base + 31}">{escape(unit)}</text>')
    for index, mark in enumerate(marks):
        y = _TOP + _ROW * (index + 0.5)
        parts.append(_row(mark, y, x(mark.value), x(mark.low), x(mark.high)))
        if mark.limit is not None:
            at = x(mark.limit)
            parts.append(f'<line class="limit" x1="{at:.1f}" x2="{at:.1f}" y1="{y - 11:.1f}" y2="{y + 11:.1f}"/>')
    return "".join([*parts, "</svg>"])


def _row(mark: Mark, y: float, value: float, low: float, high: float) -> str:
    label = escape(mark.label if len(mark.label) <= 34 else f"{mark.label[:33]}…")  # noqa: PLR2004 - what fits
    return (
        f'<text class="label" x="{_LABELS - 10}" y="{y + 4:.1f}">{label}<title>{escape(mark.label)}</title></text>'
        f'<line class="whisker {mark.tone}" x1="{low:.1f}" x2="{high:.1f}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<circle class="{mark.tone}" cx="{value:.1f}" cy="{y:.1f}" r="5"/>'
        f'<text class="note" x="{_WIDTH - _RIGHT + 10}" y="{y + 4:.1f}">{escape(mark.note)}</text>'
    )


def _axis(low: float, high: float) -> tuple[float, float, float]:
    """Return round ends and the step between ticks."""
    if high - low < _NARROWEST:  # nothing differs
        low, high = low - 1.0, high + 1.0
    span = high - low
    rough = span / _TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
    return math.floor(low / step) * step, math.ceil(high / step) * step, step


def _number(value: float, step: float) -> str:
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    return "0" if abs(value) < step / 1e6 else f"{value:+.{min(digits, 6)}f}"
