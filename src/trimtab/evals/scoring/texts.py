"""Scorers that look at the text: equality, parts, patterns, numbers, refusals."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal

from trimtab.analysis.measures import json_value
from trimtab.analysis.refusal import is_refusal
from trimtab.core.errors import InputError
from trimtab.evals.datasets.item import text_of
from trimtab.evals.scoring.case import NOTHING, LocalSpec, fails, verdict

if TYPE_CHECKING:
    from trimtab.evals.scoring.case import Case, Scored

__all__ = ["Contains", "Equals", "Numeric", "Refusal", "Regex", "StartsWith"]

_NUMBER = re.compile(r"[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:[eE][-+]?\d+)?")
_SHOWN = 80


class Equals(LocalSpec, frozen=True, kw_only=True, tag="equals"):
    """The answer is the expected one. Expected JSON other than text is compared as JSON: order and spacing aside."""

    value: Any = None
    """What is expected; the item's `expected` where absent."""
    ignore_case: bool = False
    trim: bool = True
    """Spaces around it do not count."""

    def judge(self, case: Case) -> Scored:
        wanted = case.item.expected if self.value is None else self.value
        if wanted is None:
            return NOTHING
        if not isinstance(wanted, str):
            return verdict(json_value(case.answer.output) == wanted, f"expected {_shown(text_of(wanted))}")
        return verdict(self._form(case.answer.output) == self._form(wanted), f"expected {_shown(wanted)}")

    def _form(self, text: str) -> str:
        text = text.strip() if self.trim else text
        return text.casefold() if self.ignore_case else text


class Contains(LocalSpec, frozen=True, kw_only=True, tag="contains"):
    """The answer contains all, or any, of some texts."""

    values: list[str] = []
    """What is looked for; the item's `expected` where empty."""
    match: Literal["all", "any"] = "all"
    ignore_case: bool = False

    def judge(self, case: Case) -> Scored:
        values = self.values or ([case.expected] if case.item.expected is not None else [])
        if not values:
            return NOTHING
        text = case.answer.output.casefold() if self.ignore_case else case.answer.output
        missing = [value for value in values if (value.casefold() if self.ignore_case else value) not in text]
        holds = not missing if self.match == "all" else len(missing) < len(values)
        return verdict(holds, f"it lacks {', '.join(_shown(value) for value in missing)}")


class StartsWith(LocalSpec, frozen=True, kw_only=True, tag="startsWith"):
    """The answer begins with a text."""

    value: str

    def judge(self, case: Case) -> Scored:
        return verdict(case.answer.output.startswith(self.value), f"it begins {_shown(case.answer.output)}")


class Regex(LocalSpec, frozen=True, kw_only=True, tag="regex"):
    """A regular expression (Python's) is found in the answer."""

    pattern: str

    def __post_init__(self) -> None:
        try:
            re.compile(self.pattern, re.MULTILINE)
        except re.error as error:
            raise InputError(
                "invalid_regex", f"the regular expression is wrong: {error.msg}", param=self.pattern
            ) from error

    def judge(self, case: Case) -> Scored:
        return verdict(re.search(self.pattern, case.answer.output, re.MULTILINE) is not None, "it is not found")


class Numeric(LocalSpec, frozen=True, kw_only=True, tag="numeric"):
    """A number in the answer is the expected one, within a tolerance."""

    value: float | None = None
    """What is expected; the item's `expected` where absent."""
    which: Literal["first", "last", "only"] = "last"
    """Which of several numbers in the answer counts; `only`: the answer is a number and nothing else."""
    absolute: float = 0.0
    """How far off it may be."""
    relative: float = 0.0
    """The same as a share of what is expected; the larger of the two counts."""

    def judge(self, case: Case) -> Scored:
        wanted = self.value if self.value is not None else _number(case.expected)
        if wanted is None:
            return NOTHING
        found = self._found(case.answer.output)
        if found is None:
            return fails("there is no number in it")
        allowed = max(self.absolute, self.relative * abs(wanted)) + 1e-12 * abs(wanted)
        return verdict(abs(found - wanted) <= allowed, f"it says {found:g}, expected {wanted:g}")

    def _found(self, text: str) -> float | None:
        if self.which == "only":
            return _number(text)
        numbers = _NUMBER.findall(text)
        return _number(numbers[0 if self.which == "first" else -1]) if numbers else None


class Refusal(LocalSpec, frozen=True, kw_only=True, tag="refusal"):
    """The model declines to answer, by the rule of `trimtab.analysis.refusal`; `negate` for answers that must come."""

    def judge(self, case: Case) -> Scored:
        return verdict(is_refusal(case.answer.output, case.answer.finish_reason), "it does not refuse")


def _number(text: str) -> float | None:
    text = text.strip()
    return float(text.replace(",", "")) if _NUMBER.fullmatch(text) else None


def _shown(text: str) -> str:
    line = " ".join(text.split())
    return f"`{line[:_SHOWN]}…`" if len(line) > _SHOWN else f"`{line}`"
