"""What is measured: metrics as a plan names them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, get_args

import msgspec

from trimtab.analysis.sources import FeedbackSpec, JudgeSpec, ScorerSpec
from trimtab.core.durations import Duration, seconds
from trimtab.stats import ratio_margin
from trimtab.stats.judged import LABELLED_SPAN

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "BUILTIN_METRICS",
    "UNBOUNDED",
    "Direction",
    "FeedbackSpec",
    "JudgeSpec",
    "MetricEvidence",
    "MetricRole",
    "MetricSpec",
    "MetricType",
    "Quantity",
    "ScorerSpec",
    "Subject",
]

MetricRole = Literal["guardrail", "goal", "signal"]
"""guardrail: may roll back. goal: must hold in `analysis`. signal: pauses and informs, never rolls back."""
Direction = Literal["higher", "lower"]
"""Which way is better."""

BUILTIN_METRICS = ("error", "refusal", "format", "schema", "latency", "tokens", "cost", "length")
MetricType = Literal["binary", "mean", "quantile", "ratio", "distribution"]
"""binary: share of good answers. mean: of a number. quantile: share within a limit. ratio: of two sums. distribution:
whether the arms' answers are alike at all."""
Quantity = Literal[
    "latency", "tokens", "cost", "length", "input_tokens", "requests", "errors", "attempts", "tool_calls"
]
"""Measurements that are numbers without a bound, lower is better; see `analysis.measures`."""
Subject = Literal[Quantity, "text"]
"""What a metric with a name of its own may be of: a measurement, or the text of the answers."""
UNBOUNDED: frozenset[str] = frozenset(get_args(Quantity))
DEFAULT_MARGIN = 0.02
DEFAULT_MARGIN_HEAVY = 0.1
DEFAULT_MARGIN_QUANTILE = 0.05
DEFAULT_QUANTILE = 0.95
_CAP_QUANTILE = 0.99

_Share = Annotated[float, msgspec.Meta(gt=0, lt=1)]


class MetricSpec(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """One metric of a plan; turned into a score in [0, 1] where higher is better."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    type: MetricType | None = None
    """What is compared; by default what the other fields say: a share, a mean, a quantile or a ratio."""
    of: Subject | None = None
    """The built-in measurement of a metric with a name of its own; above the line, of a ratio. `text`: whether both
    arms' answers are alike, which takes `role: signal`."""
    per: Quantity | None = None
    """The measurement below the line of a ratio."""
    role: MetricRole = "guardrail"
    margin: _Share | None = None
    """How much worse, on the scale from 0 to 1, is still tolerated. 0.02 by default, 0.10 for heavy tails and ratios
    (of stable's ratio), 0.05 for quantiles (of requests beyond the limit)."""
    cap: Annotated[float, msgspec.Meta(gt=0)] | None = None
    """Where an unbounded metric is clipped, in its own unit; by default stable's p99, learned and frozen."""
    quantile: _Share | None = None
    """Which of stable's quantiles is the limit; 0.95 by default."""
    limit: Annotated[float, msgspec.Meta(gt=0)] | None = None
    """A limit of a quantile's own, in the measurement's unit, instead of one learned from stable."""
    scorer: ScorerSpec | None = None
    feedback: FeedbackSpec | None = None
    """Where a metric is not measured but told, hours later."""
    judge: JudgeSpec | None = None
    """Where a judge scores every answer, and people label a few."""
    direction: Direction | None = None
    """`higher` by default; `lower` for what is unbounded (latency, tokens, cost, ...)."""
    dry_run: bool = False
    """Measured and reported, but decides nothing: it can neither roll back, pause nor hold a step."""

    def __post_init__(self) -> None:
        for problem in metric_problems(self):
            raise ValueError(problem)

    @property
    def kind(self) -> MetricType:
        """The type in force."""
        if self.type is not None:
            return self.type
        if self.compares_answers:
            return "distribution"
        if self.per is not None:
            return "ratio"
        if self.quantile is not None or self.limit is not None:
            return "quantile"
        if self.scorer is not None:
            return "mean" if self.scorer.python is not None else "binary"
        return "mean" if self.within is not None or self.is_unbounded else "binary"

    @property
    def within(self) -> Duration | None:
        """How long after a unit's window what is told of it is waited for; `None` where it is measured, not told."""
        told = self.feedback or self.judge
        return None if told is None else told.within

    @property
    def within_ms(self) -> int:
        """`within` in milliseconds; 0 where nothing is waited for."""
        return 0 if self.within is None else round(1000 * seconds(self.within))

    @property
    def compares_answers(self) -> bool:
        """Whether it asks if the arms' answers differ, rather than whether they got worse: it has no scores."""
        return self.of == "text"

    @property
    def source(self) -> str:
        """Name of the built-in measurement; of a scorer's metric, its own name."""
        return self.of or self.name

    @property
    def is_unbounded(self) -> bool:
        """Whether it measures one of :data:`UNBOUNDED`."""
        return self.scorer is None and self.within is None and self.source in UNBOUNDED

    @property
    def is_clipped(self) -> bool:
        """Whether it is the mean of something unbounded, cut off at a cap."""
        return self.kind == "mean" and self.is_unbounded

    @property
    def allowance(self) -> float:
        """The margin in force as plans state it."""
        if self.margin is not None:
            return self.margin
        if self.kind == "quantile":
            return DEFAULT_MARGIN_QUANTILE
        return DEFAULT_MARGIN_HEAVY if self.is_clipped or self.kind == "ratio" else DEFAULT_MARGIN

    @property
    def tolerance(self) -> float:
        """The margin δ in force, in scores: what the bets allow."""
        if self.judge is not None:
            return self.allowance / LABELLED_SPAN
        return ratio_margin(self.allowance) if self.kind == "ratio" else self.allowance

    @property
    def lower_is_better(self) -> bool:
        """Whether a smaller measurement is the better one."""
        return self.direction == "lower" or (self.direction is None and self.is_unbounded)

    @property
    def learns_cap(self) -> bool:
        """Whether a cap is learned from stable: its p99."""
        return self.is_clipped and self.cap is None

    @property
    def learns_limit(self) -> bool:
        """Whether a limit is learned from stable: its quantile."""
        return self.kind == "quantile" and self.limit is None

    @property
    def learned_share(self) -> float:
        """Which of stable's quantiles is learned, as cap or as limit; the lower end where higher is better."""
        if self.kind != "quantile":
            return _CAP_QUANTILE
        level = DEFAULT_QUANTILE if self.quantile is None else self.quantile
        return level if self.lower_is_better else 1.0 - level


def metric_problems(spec: MetricSpec) -> Iterator[str]:
    """Yield what contradicts itself in a metric whose fields are each right."""
    yield from _source_problems(spec)
    if spec.compares_answers:
        yield from _comparison_problems(spec)
    kind = spec.kind
    if kind not in _possible_kinds(spec):
        yield f"`{spec.name}` cannot be of type `{kind}`: {_why_not(kind)}"
    if kind != "quantile" and (spec.quantile is not None or spec.limit is not None):
        yield f"`quantile` and `limit` are for metrics of `type: quantile`; `{spec.name}` is of type `{kind}`"
    if spec.quantile is not None and spec.limit is not None:
        yield "a metric takes `quantile` or `limit`: the limit is learned from stable, or given"
    if spec.cap is not None and kind != "mean":
        yield f"`cap` is for means; `{spec.name}` is of type `{kind}`"


def _source_problems(spec: MetricSpec) -> Iterator[str]:
    """Yield what is wrong with where a metric's measurements come from."""
    builtin = spec.name in BUILTIN_METRICS
    given = [name for name in ("scorer", "feedback", "judge") if getattr(spec, name) is not None]
    if not given and spec.of is None and not builtin:
        yield f"`{spec.name}` is not a built-in metric ({', '.join(BUILTIN_METRICS)}) and has no `scorer`"
    if given and builtin:
        yield f"`{spec.name}` is a built-in metric: a metric with a `{given[0]}` needs a name of its own"
    if spec.within is not None and (len(given) > 1 or spec.of is not None):
        yield f"a metric with `{given[-1]}` is told, not measured: it takes no other source, nor `of`"
    if spec.judge is not None and spec.cap is not None:
        yield f"the scores and labels of `{spec.name}` lie between 0 and 1: it takes no `cap`"
    if spec.of is not None and (builtin or spec.scorer is not None):
        yield "`of` names what a metric with a name of its own measures: it takes no `scorer`, nor a built-in's name"
    if builtin and spec.name not in UNBOUNDED and (spec.cap or spec.direction):
        yield f"`{spec.name}` is 0 or 1 by definition: it takes neither `cap` nor `direction`"


def _comparison_problems(spec: MetricSpec) -> Iterator[str]:
    """Yield what a metric of the answers' texts is given and cannot use."""
    if spec.role != "signal":
        yield (
            f"`{spec.name}` tells whether answers are different, not whether they are worse: it decides nothing; "
            "give it `role: signal`"
        )
    given = [name for name in ("per", "margin", "direction") if getattr(spec, name) is not None]
    if given:
        yield f"`{given[0]}` means nothing to `{spec.name}`: answers differ or do not; leave it out"


def _possible_kinds(spec: MetricSpec) -> tuple[MetricType, ...]:
    if spec.compares_answers:
        return ("distribution",)
    if spec.per is not None:
        return ("ratio",) if spec.of is not None else ()
    if spec.scorer is not None:
        return ("binary", "mean", "quantile") if spec.scorer.python is not None else ("binary",)
    if spec.judge is not None:
        return ("mean",)
    if spec.feedback is not None:
        return ("binary", "mean")
    return ("mean", "quantile") if spec.is_unbounded else ("binary",)


def _why_not(kind: MetricType) -> str:
    return {
        "binary": "binary is what is 0 or 1 (error, refusal, format, schema, and scorers)",
        "mean": "a mean is taken of numbers",
        "quantile": "a quantile is taken of numbers: a built-in that is unbounded, or a `python` scorer",
        "ratio": "a ratio is of two built-in measurements, `of` one `per` another",
        "distribution": "what is compared as a distribution is the text of the answers, `of: text`",
    }[kind]


class MetricEvidence(msgspec.Struct, frozen=True, kw_only=True):
    """What one metric says in one phase. Scores are means per unit in [0, 1], higher is better."""

    name: str
    role: MetricRole
    phase: str
    margin: float
    candidate_mean: float | None
    control_mean: float | None
    candidate_units: int
    control_units: int
    pairs: int
    harm: float
    """E now: how many to one the pairs speak for "worse than the margin allows"."""
    harm_peak: float
    """Largest E so far; this is what is held against `limit`."""
    limit: float
    """E at which a guardrail rolls back, or a signal alarms."""
    non_inferior: float
    """Largest E so far of the bet on "no worse than the margin allows"."""
    promotion_limit: float
    failed: bool
    """Harm is proven: `harm_peak` reached `limit`."""
    passed: bool
    """Non-inferiority is proven: `non_inferior` reached `promotion_limit`."""
    type: MetricType = "mean"
    cap: float | None = None
    """Where an unbounded metric is clipped, in its own unit; its scores are fractions of it."""
    threshold: float | None = None
    """Limit of a quantile, in the measurement's unit; its scores are shares of requests that keep to it."""
    ratio: float | None = None
    """Stable's frozen ratio; a score of 0.5 is that, see `stats.RatioScale`."""
    dry_run: bool = False
    """It decides nothing; `failed` and `passed` say what it would have said."""
    words: str = ""
