"""A comparison and its gate as Markdown, for a pull request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trimtab.evals.reports import words

if TYPE_CHECKING:
    from trimtab.evals.comparison import Comparison
    from trimtab.evals.gate import GateReport

__all__ = ["markdown_report"]

_SLICES = 5
_SIGNS = {"passed": "✅", "failed": "❌", "inconclusive": "❔", "error": "⚠️"}


def markdown_report(comparison: Comparison | None, gate: GateReport | None = None) -> str:
    """Return the report; without a comparison the gate alone."""
    parts: list[str] = []
    if gate is not None:
        parts.append(f"### {_SIGNS[gate.verdict]} Gate {gate.verdict}\n")
        parts += [f"- {_SIGNS[one.verdict]} {_escaped(one.rule)}: {_escaped(one.detail)}" for one in gate.rules]
        parts.append("")
    if comparison is not None:
        parts += _compared(comparison)
    return "\n".join(parts).rstrip() + "\n"


def _compared(comparison: Comparison) -> list[str]:
    level = f"{100 * (1 - comparison.alpha):g} % interval"
    lines = [
        f"**{_escaped(words.headline(comparison))}**",
        "",
        f"| metric | baseline | candidate | difference | {level} | p (BH) | |",
        "|---|--:|--:|--:|---|--:|---|",
    ]
    for one in comparison.metrics:
        cells = (
            _escaped(one.metric),
            words.level(one.baseline, one.kind),
            words.level(one.candidate, one.kind),
            words.difference(one.difference, one.kind),
            words.interval(one.interval, one.kind),
            words.p_value(one.adjusted),
            one.better_or_worse if one.better_or_worse != "no difference shown" else "",
        )
        lines.append(f"| {' | '.join(cells)} |")
    told = [
        f"- {_escaped(one.metric)}: {_escaped(text)}"
        for one in comparison.metrics
        for text in (words.flips(one), words.power(one))
        if text
    ]
    lines += ["", *told] if told else []
    kinds = {one.metric: one.kind for one in comparison.metrics}
    worst = comparison.worse_slices or comparison.slices[:_SLICES]
    if worst:
        title = "Worse slices" if comparison.worse_slices else "Worst slices (none is shown to be worse)"
        lines += ["", f"{title}, of {len(comparison.slices):,} looked at:", ""]
        lines += [f"- {_escaped(words.slice_line(one, kinds[one.metric]))}" for one in worst]
    if comparison.unanswered:
        lines += ["", f"{comparison.unanswered:,} answers of the candidate failed."]
    return lines


def _escaped(text: str) -> str:
    """Return text that is no markup in a table or a list."""
    for character in "\\`*_|<>[]":
        text = text.replace(character, f"\\{character}")
    return " ".join(text.split())
