"""A suite: which scorers, and what has to hold for a release to pass. One YAML file, unknown keys refused."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from trimtab.core.canonical import canonical_digest
from trimtab.core.errors import InputError
from trimtab.core.ids import check_name
from trimtab.evals.scoring import AnyScorer, read_scorer

if TYPE_CHECKING:
    from trimtab.artifacts.document import Node

__all__ = ["CHECKS_METRIC", "GateSpec", "Rule", "Suite", "margin_of", "read_suite", "suite_digest", "suite_json_schema"]

_METRIC = re.compile(r"[A-Za-z][\w.-]{0,63}", re.ASCII)
CHECKS_METRIC = "checks"
"""The metric of items' own checks: 1 where all of them hold."""


class _Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, rename="camel"):
    """Base of a suite's parts."""


class Rule(_Part, frozen=True, kw_only=True):
    """What has to hold of one metric; exactly one of the conditions. Shares are in percent, margins in points."""

    metric: str
    non_inferior: float | str | None = None
    """The candidate is worse than the baseline by less than this, shown at level alpha. Points of a binary metric; of a
    numeric one its own unit, or a share of the baseline's mean as `10%`."""
    superior: Literal[True] | None = None
    """It is better than the baseline, shown at level alpha."""
    at_least: float | None = None
    """Its mean is at least this: percent of a binary metric, else its own unit."""
    at_most: float | None = None
    sure: bool = False
    """For `atLeast` and `atMost`: shown at level alpha, not merely observed."""
    max_negative_flips: float | None = None
    """Percent of items that passed and no longer do, in excess of what the baseline flips against itself; the upper
    end of its interval counts."""


class GateSpec(_Part, frozen=True, kw_only=True):
    """When a release passes: all rules hold."""

    rules: list[Rule] = []
    alpha: float = 0.05
    """Level of each rule. All must pass, so it is also that of the whole gate (intersection-union test)."""
    min_items: int = 20
    """Fewer pairs, or groups of them, than this show nothing."""
    max_unanswered: float = 0.0
    """Percent of items that may have no answer, or no verdict of a scorer; beyond it the gate cannot say."""
    no_worse_slice: bool = False
    """No slice may be worse, after correction for looking at all of them."""
    uncalibrated_judges: Literal["refuse", "allow"] = "refuse"
    """Whether a judge that was never held against people may gate."""


class _SuiteFile(_Part, frozen=True, kw_only=True):
    """The file, for its JSON Schema: reading it is stricter."""

    name: str
    scorers: list[AnyScorer]
    gate: GateSpec = GateSpec()


class Suite(msgspec.Struct, frozen=True, kw_only=True):
    """A suite, read."""

    name: str
    scorers: list[AnyScorer]
    gate: GateSpec

    @property
    def metrics(self) -> dict[str, AnyScorer]:
        """Scorers by metric."""
        return {scorer.metric: scorer for scorer in self.scorers}


def read_suite(document: Node) -> Suite:
    """Return the suite of a YAML document; raises `SourceError` with the line."""
    fields = document.fields(["name", "scorers", "gate"], required=["name", "scorers"])
    try:
        name = check_name(fields["name"].text(), what="suite")
    except InputError as error:
        raise fields["name"].error(error.code, error.message, hint=error.hint) from error
    scorers: list[AnyScorer] = []
    for node in fields["scorers"].items():
        scorers.append(_scorer(node))
        if not _METRIC.fullmatch(scorers[-1].metric):
            hint = "use 1-64 letters, digits and . _ -, beginning with a letter"
            raise node.error("malformed_name", f"`{scorers[-1].metric}` cannot name a metric", hint=hint)
        if sum(one.metric == scorers[-1].metric for one in scorers) > 1 or scorers[-1].metric == CHECKS_METRIC:
            message = f"two scorers make the metric `{scorers[-1].metric}`"
            raise node.error("duplicate_metric", message, hint="give one of them a `name`")
    gate = _gate(fields["gate"], scorers) if "gate" in fields else GateSpec()
    return Suite(name=name, scorers=scorers, gate=gate)


def _scorer(node: Node) -> AnyScorer:
    value = node.mapping() and node.plain()
    try:
        return read_scorer(value or {})
    except InputError as error:
        raise node.error(error.code, error.message, hint=error.hint) from error


def _gate(node: Node, scorers: list[AnyScorer]) -> GateSpec:
    try:
        gate = msgspec.convert(node.plain(), GateSpec)
    except msgspec.ValidationError as error:
        raise node.error("invalid_gate", f"the gate is wrong: {error}") from error
    if not 0.0 < gate.alpha < 0.5:  # noqa: PLR2004 - beyond it "shown" means nothing
        raise node.error("invalid_gate", f"alpha {gate.alpha:g} is not in (0, 0.5)")
    known = {scorer.metric: scorer for scorer in scorers}
    for rule in gate.rules:
        problem = _problem(rule, known)
        if problem:
            raise node.error("invalid_gate", problem)
    return gate


def _problem(rule: Rule, known: dict[str, AnyScorer]) -> str:
    if rule.metric not in known and rule.metric != CHECKS_METRIC:
        return f"a rule is about `{rule.metric}`, which no scorer measures; there are {', '.join(known) or 'none'}"
    conditions = (rule.non_inferior, rule.superior, rule.at_least, rule.at_most, rule.max_negative_flips)
    if sum(condition is not None for condition in conditions) != 1:
        return (
            f"the rule about `{rule.metric}` needs exactly one of nonInferior, superior, atLeast, atMost and "
            "maxNegativeFlips"
        )
    binary = rule.metric == CHECKS_METRIC or known[rule.metric].kind == "binary"
    if rule.max_negative_flips is not None and not binary:
        return f"`{rule.metric}` is a number, which cannot flip"
    if rule.non_inferior is not None and margin_of(rule.non_inferior, binary=binary, mean=1.0) is None:
        return f"the margin `{rule.non_inferior}` of `{rule.metric}` is none: above 0, in points, or `10%` of a number"
    return ""


def margin_of(margin: float | str, *, binary: bool, mean: float) -> float | None:
    """Return a margin in the metric's own unit, `None` for what is none; `mean` is the baseline's."""
    if isinstance(margin, str):
        share = margin.strip().removesuffix("%")
        if binary or share == margin.strip() or not share.replace(".", "", 1).isdigit():
            return None
        found = float(share) / 100.0 * abs(mean)
    else:
        found = margin / 100.0 if binary else margin
    return found if found > 0 and (not binary or found < 1) else None


def suite_json_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a suite's file, generated from these types, for editors."""
    schema: dict[str, Any] = msgspec.json.schema(_SuiteFile)
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "Trimtab suite"
    return schema


def suite_digest(suite: Suite, scorers: dict[str, str]) -> str:
    """Return what tells the measurements of suites apart: their metrics and the digests of their scorers."""
    return canonical_digest({"metrics": scorers, "name": suite.name})
