"""Scorers that are code: a function that judges, and a feature's own parser that must take what the model said."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import msgspec

from trimtab.evals.scoring.case import HOLDS, NOTHING, Case, Scored, Spec, fails, verdict
from trimtab.evals.scoring.sandbox import Sandboxed, SandboxError

__all__ = ["Code", "Parser", "judge_by_code"]


class _Coded(Spec, frozen=True, kw_only=True):
    function: str
    """`module:name`, looked for beside the suite's file."""
    timeout_seconds: float = 10.0
    """Of one call."""
    memory_mb: int = 1024
    """Of its process."""
    source: str = ""
    """Digest of the file that holds the function: filled in when the scorer is stored, never by hand."""


class Code(_Coded, frozen=True, kw_only=True, tag="code"):
    """A function `(output, item, answer)` returns a number, a bool, `{"value", "reason"}`, or None: not applicable.

    `item` and `answer` are dicts with the fields of a dataset's items and of answers.
    """

    binary: bool = False
    """It only ever returns 0 or 1, or a bool."""

    always_binary: ClassVar[bool] = False

    @property
    def kind(self) -> Any:  # noqa: ANN401 - as the base class
        return "binary" if self.binary or self.threshold is not None else "numeric"


class Parser(_Coded, frozen=True, kw_only=True, tag="parser"):
    """The feature's own parser, `(output) -> value`, takes the answer: it raises nothing, and returns not None."""

    of_expected: bool = False
    """What it returns must be the item's `expected` besides."""


def judge_by_code(spec: Code | Parser, function: Sandboxed, case: Case) -> Scored:
    """Return the judgement of a function, before threshold and negation."""
    output = case.answer.output
    try:
        if isinstance(spec, Parser):
            return _parsed(spec, function.call(output), case)
        item, answer = msgspec.to_builtins(case.item), msgspec.to_builtins(case.answer)
        return _returned(function.call(output, item, answer), binary=spec.binary)
    except SandboxError as error:
        if isinstance(spec, Parser):
            return fails(str(error))
        return Scored(error=str(error))


def _parsed(spec: Parser, value: object, case: Case) -> Scored:
    if value is None:
        return fails("the parser found nothing")
    if not spec.of_expected:
        return HOLDS
    if case.item.expected is None:
        return NOTHING
    return verdict(value == case.item.expected, f"the parser returned {str(value)[:80]}")


def _returned(value: object, *, binary: bool) -> Scored:
    reason = ""
    if isinstance(value, dict):
        reason, value = str(value.get("reason", "")), value.get("value")
    if value is None:
        return Scored(detail=reason)
    if not isinstance(value, bool | int | float):
        return Scored(error=f"it returned a {type(value).__name__}, not a number, a bool or None")
    number = float(value)
    if not math.isfinite(number) or (binary and number not in {0.0, 1.0}):
        return Scored(error=f"it returned {number:g}" + (", which is neither 0 nor 1" if binary else ""))
    return Scored(number, reason)
