"""What goes wrong with the candidate, as people say it: `error:3%`, `latency:+20%`, `latency:2x`."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING

import msgspec

from trimtab.core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trimtab.analysis.model import MetricSpec

__all__ = ["Fault", "is_rehearsed", "is_scaled", "parse_fault"]

_FAULT = re.compile(r"([^:]+):\s*\+?([0-9]+(?:\.[0-9]+)?)\s*(%|x)", re.IGNORECASE)
_FORMS = "write error:3%, format:+2%, latency:+20% or latency:2x"
_LARGEST_FACTOR = 1000.0

_ALIASES = {
    "parse": ("schema", "format"),
    "json": ("schema", "format"),
    "errors": ("error",),
    "failure": ("error",),
    "refusals": ("refusal",),
    "refuse": ("refusal",),
    "slow": ("latency",),
    "slower": ("latency",),
    "time": ("latency",),
    "price": ("cost",),
    "long": ("length", "tokens"),
    "longer": ("length", "tokens"),
}
"""What people call it -> the metrics that see it, best first."""


class Fault(msgspec.Struct, frozen=True):
    """A fault of the candidate in one metric: it spoils a share of the answers, or multiplies what is measured."""

    metric: str
    spoiled: float = 0.0
    """Share of answers, of those that would have been good, that it makes bad."""
    times: float = 1.0
    """By what a measurement is multiplied; of a rate, by what its share of bad answers is."""

    def good_after(self, good: float) -> float:
        """Return the share of good answers with the fault, from the share without it."""
        return max(0.0, 1.0 - (1.0 - good) * self.times) * (1.0 - self.spoiled)


def is_rehearsed(spec: MetricSpec) -> bool:
    """Return whether users are drawn for a metric: nobody knows how texts would differ, or what would be labelled."""
    return not spec.compares_answers and spec.judge is None


def is_scaled(spec: MetricSpec) -> bool:
    """Return whether a fault multiplies what a metric measures, rather than spoil answers."""
    return spec.is_clipped or spec.kind in {"quantile", "ratio"} or spec.cap is not None


def parse_fault(text: str, metrics: Sequence[MetricSpec]) -> Fault:
    """Return the fault in `NAME:3%` or `NAME:2x`; raises `InputError`.

    Of a rate, 3 % of the answers are spoiled, and 2x means twice as many bad ones. What is measured in
    milliseconds, tokens, dollars or characters grows by 3 %, or to twice as much.
    """
    match = _FAULT.fullmatch(text.strip())
    if match is None:
        raise InputError("invalid_fault", f"`{text}` is no fault", param="fault", hint=_FORMS)
    spec = _metric(match[1].strip(), metrics)
    amount, percent = float(match[2]), match[3] == "%"
    scaled = is_scaled(spec)
    if percent and not scaled and amount > 100:  # noqa: PLR2004 - per cent
        raise InputError("invalid_fault", f"`{text}`: more than all answers cannot be bad", param="fault", hint=_FORMS)
    times = 1.0 + amount / 100 if percent else amount
    if amount == 0 or (not percent and times <= 1) or times > _LARGEST_FACTOR:
        raise InputError(
            "invalid_fault", f"`{text}`: a fault makes it worse, at most {_LARGEST_FACTOR:,.0f} times", param="fault",
            hint=_FORMS,
        )  # fmt: skip
    return Fault(spec.name, spoiled=amount / 100) if percent and not scaled else Fault(spec.name, times=times)


def _metric(name: str, metrics: Sequence[MetricSpec]) -> MetricSpec:
    """Return the metric that a person means."""
    by_name = {metric.name: metric for metric in metrics if is_rehearsed(metric)}
    for candidate in (name, *_ALIASES.get(name.lower(), ())):
        if candidate in by_name:
            return by_name[candidate]
    close = difflib.get_close_matches(name, by_name, n=1)
    raise InputError(
        "unknown_metric",
        f"the plan measures no `{name}`, so nothing would see the fault",
        param="fault",
        hint=(f"did you mean `{close[0]}`? " if close else "") + f"its metrics: {', '.join(by_name)}",
    )
