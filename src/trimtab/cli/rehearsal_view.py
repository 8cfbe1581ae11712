"""A rehearsal for the terminal: five questions and their answers."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from trimtab.cli.output import table
from trimtab.rollout.rehearsal.picture import duration_words

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from trimtab.rollout.rehearsal import MetricStrength, RehearsalReport, ScenarioSummary, Share, Spell

__all__ = ["rehearsal_lines"]

_DAY_SECONDS = 86_400
_WIDTH = 110
_BARS = " ▁▂▃▄▅▆▇█"
_COLUMNS = 48


def rehearsal_lines(report: RehearsalReport) -> Iterator[str]:
    """Yield the report, line by line."""
    yield from _heading(report)
    yield "\n1. How long until it is rolled back?"
    yield from _rollback(report)
    yield "2. How many users meet it until then?"
    yield from _touched(report)
    yield "3. How likely is a false alarm?"
    yield from _false_alarm(report)
    yield "4. How likely is promotion?"
    yield from _promotion(report)
    yield "5. Which metric is too weak?"
    yield from _metrics(report.metrics)


def _heading(report: RehearsalReport) -> Iterator[str]:
    a_day = report.requests_per_second * _DAY_SECONDS
    yield (
        f"{a_day:,.3g} requests a day".replace("e+0", "e")
        if a_day < 1
        else (f"{a_day:,.0f} requests a day, {report.requests_per_visit:.3g} a visit, {report.users:,} users")
    )
    played = f"{report.healthy.runs} rehearsals with an unchanged candidate"
    yield played + (f", {report.faulty.runs} with the fault:" if report.faulty else "")
    for fault in report.faults:
        yield f"  {fault}"
    for text in report.assumed:
        yield from textwrap.wrap(f"note: {text}", _WIDTH, subsequent_indent="      ")


def _rollback(report: RehearsalReport) -> Iterator[str]:
    scenario = report.faulty
    if scenario is None:
        yield "   no fault was rehearsed: add one, such as --fault error:3%"
        return
    when = _when(scenario.seconds_to_rollback)
    yield f"   {_percent(scenario.rolled_back)} of candidates with the fault are rolled back{when}"
    yield from _curve(scenario.rollback_seconds, scenario)
    if scenario.blamed:
        yield f"   by {', '.join(f'{name} ({count})' for name, count in scenario.blamed.items())}"
    yield from _others(scenario, promoted=True)


def _touched(report: RehearsalReport) -> Iterator[str]:
    scenario = report.faulty or report.healthy
    spell, which = scenario.users_touched_at_rollback, "until the rollback"
    if spell is None:
        spell, which = scenario.users_touched, "however it ends"
    if not spell.high:
        yield f"   {which}: nobody; it ends in shadow, or before anybody comes"
        return
    yield f"   {which}: half at most {spell.median:,.0f}, nine of ten at most {spell.high:,.0f} of {report.users:,}"


def _false_alarm(report: RehearsalReport) -> Iterator[str]:
    yield (
        f"   {_percent(report.healthy.rolled_back)} of unchanged candidates are rolled back; "
        f"the plan allows {100 * report.alpha:g} %"
    )


def _promotion(report: RehearsalReport) -> Iterator[str]:
    scenario = report.healthy
    yield f"   {_percent(scenario.promoted)} of unchanged candidates are promoted{_when(scenario.seconds_to_promotion)}"
    yield from _curve(scenario.promotion_seconds, scenario)
    yield from _others(scenario, promoted=False)


def _metrics(metrics: Sequence[MetricStrength]) -> Iterator[str]:
    rows = [
        (one.name, one.role, f"{100 * one.margin:g} %", _notices(one), f"{1 - one.unproven:.0%}", one.healthy)
        for one in metrics
    ]
    header = ("metric", "role", "margin", "notices from", "proven no worse", "healthy")
    yield textwrap.indent(table(header, rows, right=(2, 3, 4)), "   ")
    weak: dict[str, list[str]] = {}
    for one in metrics:
        if one.weak:
            weak.setdefault(one.weak, []).append(one.name)
    for text in [f"{', '.join(names)}: {why}" for why, names in weak.items()] or ["none is"]:
        yield from textwrap.wrap(text, _WIDTH, initial_indent="   ", subsequent_indent="     ")


def _notices(metric: MetricStrength) -> str:
    if metric.role in {"goal", "dry run"}:
        return "-"
    if metric.detectable is None:
        return "nothing"
    return f"{'+' if metric.scaled else ''}{100 * metric.detectable:.2g} %"


def _others(scenario: ScenarioSummary, *, promoted: bool) -> Iterator[str]:
    """What else came of it."""
    ends = [
        ("are promoted" if promoted else "are rolled back", scenario.promoted if promoted else scenario.rolled_back),
        ("wait for a person", scenario.paused),
        ("expire", scenario.expired),
        ("are still undecided after very many users", scenario.undecided),
    ]
    told = [f"{_percent(share)} {what}" for what, share in ends if share.share]
    if told:
        yield f"   {', '.join(told)}"
    if scenario.waits_for:
        why = textwrap.shorten(f"a person is asked because {scenario.waits_for}", _WIDTH, placeholder=" ...")
        yield f"   {why}"


def _when(spell: Spell | None) -> str:
    if spell is None:
        return ""
    return f": half of those within {duration_words(spell.median)}, nine of ten within {duration_words(spell.high)}"


def _percent(share: Share) -> str:
    return f"{_plain(share.share)} % ({_plain(share.low)} to {_plain(share.high)} %)"


def _plain(share: float) -> str:
    return f"{100 * share:.1f}".removesuffix(".0")


def _curve(times: Sequence[float], scenario: ScenarioSummary) -> Iterator[str]:
    """The share that had ended so, growing over time."""
    if not times:
        return
    last = scenario.touched[-1].seconds
    bars = ""
    for column in range(1, _COLUMNS + 1):
        share = sum(at <= last * column / _COLUMNS for at in times) / scenario.runs
        bars += _BARS[min(len(_BARS) - 1, round(share * (len(_BARS) - 1)))]
    yield f"   start |{bars}| {duration_words(last)}"
