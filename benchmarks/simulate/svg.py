"""Line charts small enough to commit: panels side by side, a share of runs over candidate users."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Line", "Panel", "chart", "share_by"]

WIDTH, HEIGHT, LEFT, TOP, GAP = 300, 190, 44, 44, 26
FONT = 'font-family="sans-serif" font-size="11"'
COLOURS = ("#1f6feb", "#d1242f", "#8250df", "#1a7f37", "#9a6700")


class Line(NamedTuple):
    """A line, its name, and its points (candidate users, share of runs)."""

    name: str
    points: Sequence[tuple[float, float]]


class Panel(NamedTuple):
    """Lines over the same users; `at` is a share that is marked across."""

    title: str
    lines: Sequence[Line]
    users: int
    at: float | None = None


def share_by(users: Sequence[int | None], last: int, *, points: int = 60) -> list[tuple[float, float]]:
    """Return by how many candidate users which share of the runs had said it."""
    said = sorted(one for one in users if one is not None)
    steps = [last * index / points for index in range(points + 1)]
    return [(step, sum(one <= step for one in said) / len(users)) for step in steps]


def chart(panels: Sequence[Panel]) -> str:
    """Return an SVG document."""
    rows = max(len(panel.lines) for panel in panels)
    width, height = LEFT + len(panels) * (WIDTH + GAP), TOP + HEIGHT + 34 + 15 * rows
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" {FONT}>',
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
    ]
    for index, panel in enumerate(panels):
        parts += _panel(panel, LEFT + index * (WIDTH + GAP))
    return "\n".join([*parts, "</svg>", ""])


def _panel(panel: Panel, left: float) -> list[str]:
    bottom = TOP + HEIGHT
    parts = [f'<text x="{left}" y="20" font-weight="bold">{escape(panel.title)}</text>']
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        y = bottom - share * HEIGHT
        parts.append(f'<path d="M{left} {y:.1f}h{WIDTH - 20}" stroke="#ddd"/>')
        parts.append(f'<text x="{left - 4}" y="{y + 4:.1f}" text-anchor="end" fill="#555">{share:.0%}</text>')
    if panel.at is not None:
        y = bottom - panel.at * HEIGHT
        parts.append(f'<path d="M{left} {y:.1f}h{WIDTH - 20}" stroke="#555" stroke-dasharray="3 3"/>')
    for share in (0.0, 0.5, 1.0):
        x, count = left + share * (WIDTH - 20), f"{share * panel.users:,.0f}"
        parts.append(f'<text x="{x:.1f}" y="{bottom + 14}" text-anchor="middle" fill="#555">{count}</text>')
    for row, (line, colour) in enumerate(zip(panel.lines, COLOURS, strict=False)):
        points = " ".join(
            f"{left + users / panel.users * (WIDTH - 20):.1f},{bottom - share * HEIGHT:.1f}"
            for users, share in line.points
        )
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.8"/>')
        y = bottom + 32 + 15 * row
        parts.append(f'<path d="M{left} {y - 4}h14" stroke="{colour}" stroke-width="2.5"/>')
        parts.append(f'<text x="{left + 19}" y="{y}">{escape(line.name)}</text>')
    return parts
