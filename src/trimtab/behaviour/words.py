"""A diff in plain words: sentences, and the cells of its table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trimtab.core.quantity import quantity

if TYPE_CHECKING:
    from trimtab.behaviour.behaviour_diff import BehaviourDiff
    from trimtab.behaviour.findings import Finding
    from trimtab.behaviour.flips import Flips
    from trimtab.behaviour.refusals import Refusals

__all__ = ["HEADER", "row_of", "sentence_of", "summary_of"]

HEADER = ("", "detector", "an answer", "old", "new", "change", "95 %", "for example")
_WORST_SLICES = 3
_WHOLE_FROM = 1000.0
_HINTS = 5


def summary_of(found: BehaviourDiff) -> list[str]:
    """Return a diff in sentences, the most important first."""
    return [
        _headline(found),
        *(cause.text[0].upper() + cause.text[1:] + "." for cause in found.causes),
        *([] if found.flips is None else _flips(found.flips)),
        *([] if found.refusals is None else [_refusals(found.refusals)]),
        *_slices(found),
        *_hints(found),
        *_could_lose(found),
        *_alarm(found),
    ]


def sentence_of(one: Finding) -> str:
    """Return a finding in one sentence."""
    where = f" in {one.slice}" if one.slice else ""
    what = f"`{one.detector}`{where}: {one.says} {_value(one, one.old)} → {_value(one, one.new)}"
    return f"{what} ({_change(one)})" + (f"; {one.detail}" if one.detail else "")


def row_of(one: Finding) -> tuple[str, ...]:
    """Return the cells of a finding below `HEADER`."""
    return (
        one.severity if one.better is not True else f"{one.severity} (better)",
        one.detector,
        (f"[{one.slice}] " if one.slice else "") + one.says + (f"; {one.detail}" if one.detail else ""),
        _value(one, one.old),
        _value(one, one.new),
        _change(one),
        _interval(one),
        ", ".join(one.examples[:2]),
    )


def _headline(found: BehaviourDiff) -> str:
    counts = {name: sum(one.severity == name for one in found.flags) for name in ("breaks", "content", "style")}
    said = f"{quantity(found.pairs, 'item')} compared, {found.old_name} with {found.new_name}: "
    if not found.changed:
        return said + f"no change found (one in fewer than {found.could_see} items is not told from chance)."
    worse = sum(one.severity == "breaks" and one.better is not True for one in found.flags)
    harm = f"; {worse} may break what reads the answers" if worse else ""
    other = len(found.flags) - sum(counts.values())
    parts = (
        f"{counts['breaks']} of form, {counts['content']} of content, {counts['style']} of style, {other} of operations"
    )
    return said + f"{len(found.flags)} of {found.detectors} detectors changed ({parts}){harm}."


def _flips(flips: Flips) -> list[str]:
    said = (
        f"Right answers: {flips.right_before / flips.pairs:.1%} → {flips.right_after / flips.pairs:.1%} "
        f"({100 * flips.gain:+.1f} points); {flips.negative:,} of {flips.pairs:,} were right and are wrong now "
        f"({flips.negative_share:.1%}, 95 % {flips.rate.low:.1%} to {flips.rate.high:.1%})"
    )
    if flips.again_negative is None or flips.excess is None or flips.excess_interval is None:
        said += "; how many flip by themselves is not known, for the old one was not asked twice"
    else:
        low, high = flips.excess_interval.low, flips.excess_interval.high
        said += (
            f"; asked again, the old one flips {flips.again_negative:,} itself, so {100 * flips.excess:+.1f} points "
            f"({100 * low:+.1f} to {100 * high:+.1f}) are the new one's doing"
        )
    sentences = [said + "."]
    if flips.hidden:
        fall = "it did not fall" if flips.gain >= 0.0 else "that it fell is not sure"
        sentences.append(f"The average hides these flips: {fall}.")
    worst = [one for one in flips.slices if one.negative][:_WORST_SLICES]
    if worst:
        told = ", ".join(f"{one.slice} {one.negative / one.pairs:.1%} of {one.pairs:,}" for one in worst)
        sentences.append(f"Most of right answers lost: {told}.")
    return sentences


def _refusals(found: Refusals) -> str:
    old, new = found.old, found.new
    return (
        f"Refusals, calibrated on labelled answers: {old.corrected:.1%} → {new.corrected:.1%}; the rule alone says "
        f"{old.detected:.1%} → {new.detected:.1%}, for it finds {old.found:.0%} of the old one's "
        f"and {new.found:.0%} of the new one's."
    )


def _slices(found: BehaviourDiff) -> list[str]:
    whole = {(one.detector, one.effect > 0) for one in found.flags}
    only = [one for one in found.slices if (one.detector, one.effect > 0) not in whole]
    return [f"Only in a slice: {sentence_of(one)}." for one in only[:_WORST_SLICES]]


def _hints(found: BehaviourDiff) -> list[str]:
    told = "; ".join(f"`{one.detector}` in {one.moved:,}: {one.says} ({_change(one)})" for one in found.hints[:_HINTS])
    return [f"Seen, too seldom to be sure: {told}."] if told else []


def _could_lose(found: BehaviourDiff) -> list[str]:
    """Say what is ruled out where nothing that breaks readers is flagged: no flag alone proves nothing."""
    harmed = any(one.severity == "breaks" and one.better is not True for one in (*found.flags, *found.slices))
    if found.could_lose is None or harmed:
        return []
    return [f"{found.could_lose.text[0].upper()}{found.could_lose.text[1:]}."]


def _alarm(found: BehaviourDiff) -> list[str]:
    if not found.alarm.raised:
        return []
    if any(one.severity != "operations" for one in found.flags):
        return []
    return [
        "Texts differ in words, length or format in a way that no detector names (alarm only: different, not worse)."
    ]


def _value(one: Finding, value: float) -> str:
    if one.kind == "share":
        return f"{value:.1%}"
    return f"{value:,.0f}" if abs(value) >= _WHOLE_FROM else f"{value:.3g}"


def _change(one: Finding) -> str:
    if one.kind == "share":
        return f"{100 * one.effect:+.1f} points"
    return f"{one.effect:+.0%}" if one.kind == "ratio" else f"{one.effect:+.3g}"


def _interval(one: Finding) -> str:
    if one.kind == "share":
        return f"{100 * one.low:+.1f} to {100 * one.high:+.1f}"
    return f"{one.low:+.0%} to {one.high:+.0%}" if one.kind == "ratio" else f"{one.low:+.3g} to {one.high:+.3g}"
