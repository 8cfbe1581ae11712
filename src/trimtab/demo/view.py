"""The demo's picture: on a terminal a live view, elsewhere plain lines."""

from __future__ import annotations

import textwrap
import time
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from trimtab.control.rollout_reports import RolloutReport
    from trimtab.demo.scenario import Scenario
    from trimtab.demo.story import Story
    from trimtab.demo.supervisor import Supervisor
    from trimtab.demo.traffic import Crowd

__all__ = ["View"]

_BAR = 24
_FIXED_HEIGHT = 32
"""Lines that traffic, steps and evidence take."""
_PLAIN_SECONDS = 5.0
_STEP_STYLES = {"done": "dim", "now": "bold cyan", "failed": "bold red", "next": ""}
_STEP_MARKS = {"done": "✓", "now": "▶", "failed": "✗", "next": "·"}


class View:
    """Shows a story while it happens. `update` is called a few times a second."""

    def __init__(self, scenario: Scenario, story: Story, supervisor: Supervisor, crowd: Crowd) -> None:
        self._scenario = scenario
        self._story = story
        self._supervisor = supervisor
        self._crowd = crowd
        self._console = Console()
        self._live: Live | None = None
        self._printed = 0
        self._last_plain = 0.0
        self._started = time.monotonic()

    @property
    def interactive(self) -> bool:
        """Whether somebody watches on a terminal."""
        return self._console.is_terminal

    def start(self) -> None:
        """Begin to draw."""
        if self.interactive:
            self._live = Live(self._picture(), console=self._console, refresh_per_second=4, transient=True)
            self._live.start()

    def update(self) -> None:
        """Draw what changed."""
        if self._live is not None:
            self._live.update(self._picture())
            return
        self._print_new_lines()
        if time.monotonic() - self._last_plain > _PLAIN_SECONDS:
            self._last_plain = time.monotonic()
            shares = ", ".join(
                f"{release} {arm.replace('_', ' ')}: {count} answers, {bad / count:.0%} unusable"
                for (release, arm), (count, bad) in self._crowd.shares().items()
            )
            if shares:
                print(f"  [{time.monotonic() - self._started:4.0f} s] {shares}", flush=True)

    def stop(self) -> None:
        """Leave the whole story on the screen."""
        if self._live is not None:
            self._live.stop()
            self._live = None
        self._print_new_lines()

    def _print_new_lines(self) -> None:
        for line in self._story.lines[self._printed :]:
            print(line, flush=True)
        self._printed = len(self._story.lines)

    def _picture(self) -> Group:
        elapsed = time.monotonic() - self._started
        title = f"{self._scenario.title}  ·  {elapsed:.0f} s"
        height = max(6, self._console.height - _FIXED_HEIGHT)
        lines = [part for line in self._story.lines for part in _wrapped(line, self._console.width - 4)]
        log = Text("\n".join(lines[-height:]), no_wrap=True)
        parts = [Panel(log, title=title, height=height + 2, border_style="blue"), self._traffic()]
        if self._story.current is not None:
            parts.append(_evidence(self._story.current))
        return Group(*parts)

    def _traffic(self) -> Panel:
        grid = Table(box=None, expand=True, pad_edge=False)
        for column in ("release", "arm", "answers in 10 s"):
            grid.add_column(column)
        grid.add_column("unusable", justify="right")
        shares = self._crowd.shares()
        total = sum(count for count, _ in shares.values()) or 1
        for (release, arm), (count, bad) in shares.items():
            bar = "█" * max(1, round(count / total * _BAR))
            style = "cyan" if arm == "candidate" else "green" if arm == "matched_control" else ""
            rate = Text(f"{bad / count:.1%}", style="bold red" if bad else "")
            grid.add_row(release, arm.replace("_", " "), Text(f"{bar} {count}", style=style), rate)
        alive = "  ".join(
            f"{child.name} {child.pid or 'restarting'}" + (f" (restarted {child.restarts}x)" if child.restarts else "")
            for child in self._supervisor.children
        )
        return Panel(
            Group(grid, Text(f"\nunusable: {self._scenario.unusable_means}\n{alive}", style="dim")), title="traffic"
        )


def _wrapped(line: str, width: int) -> list[str]:
    indent = " " * (len(line) - len(line.lstrip()))
    return textwrap.wrap(line, width, subsequent_indent=indent, drop_whitespace=False) or [""]


def _evidence(report: RolloutReport) -> Panel:
    steps = Text()
    for step in report.steps:
        steps.append(f"{_STEP_MARKS[step.status]} {step.text}\n", style=_STEP_STYLES[step.status])
    grid = Table(box=None, expand=True, pad_edge=False)
    grid.add_column("metric")
    for column in ("candidate", "control", "users"):
        grid.add_column(column, justify="right")
    grid.add_column("evidence of harm, towards rollback")
    for metric in report.metrics:
        bar = "█" * round(metric.harm_progress * _BAR)
        grid.add_row(
            metric.name,
            "-" if metric.candidate is None else f"{metric.candidate:.1%}",
            "-" if metric.control is None else f"{metric.control:.1%}",
            f"{metric.candidate_units}/{metric.control_units}",
            Text(f"{bar.ljust(_BAR, '░')} {metric.harm:.3g}", style="red" if metric.status == "failed" else ""),
        )
    return Panel(Group(steps, grid), title=f"{report.stable} → {report.candidate}: {report.rollout.state}")
