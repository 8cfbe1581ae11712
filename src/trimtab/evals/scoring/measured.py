"""Scorers that read what a call took. Without a threshold they are measured; less is better, but of length."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from trimtab.evals.scoring.case import NOTHING, LocalSpec, Scored

if TYPE_CHECKING:
    from trimtab.evals.scoring.case import Case

__all__ = ["Cost", "Latency", "Length", "Tokens"]


class _Measured(LocalSpec, frozen=True, kw_only=True):
    always_binary: ClassVar[bool] = False
    lower_is_better: ClassVar[bool] = True


class Latency(_Measured, frozen=True, kw_only=True, tag="latency"):
    """Milliseconds from the call to its last byte."""

    def judge(self, case: Case) -> Scored:
        return Scored(case.answer.latency_ms) if case.answer.latency_ms > 0 else NOTHING


class Cost(_Measured, frozen=True, kw_only=True, tag="cost"):
    """US dollars of the call."""

    def judge(self, case: Case) -> Scored:
        return Scored(case.answer.cost_usd) if case.answer.cost_usd > 0 else NOTHING


class Tokens(_Measured, frozen=True, kw_only=True, tag="tokens"):
    """Output tokens."""

    def judge(self, case: Case) -> Scored:
        return Scored(float(case.answer.output_tokens)) if case.answer.output_tokens else NOTHING


class Length(_Measured, frozen=True, kw_only=True, tag="length"):
    """Characters of the answer. Neither more nor fewer are better."""

    neutral: ClassVar[bool] = True

    def judge(self, case: Case) -> Scored:
        return Scored(float(len(case.answer.output)))
