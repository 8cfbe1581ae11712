"""What is measured: metrics as a plan names them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

__all__ = ["BUILTIN_METRICS", "HEAVY_TAILED", "Direction", "MetricEvidence", "MetricRole", "MetricSpec", "ScorerSpec"]

MetricRole = Literal["guardrail", "goal", "signal"]
"""guardrail: may roll back. goal: must hold in `analysis`. signal: pauses and informs, never rolls back."""
Direction = Literal["higher", "lower"]
"""Which way is better."""

BUILTIN_METRICS = ("error", "refusal", "format", "schema", "latency", "tokens", "cost", "length")
HEAVY_TAILED = frozenset({"latency", "tokens", "cost", "length"})
"""Unbounded, lower is better: clipped at a cap and rescaled to [0, 1]."""
DEFAULT_MARGIN = 0.02
DEFAULT_MARGIN_HEAVY = 0.1

_Share = Annotated[float, msgspec.Meta(gt=0, lt=1)]


class ScorerSpec(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """How an output is judged: exactly one of `python`, `regex` and `jsonSchema`."""

    python: str | None = None
    """`module:function`, called with the generation; returns a number, a bool, or None for "does not apply"."""
    regex: str | None = None
    """Searched for in the output (multi-line)."""
    expect: Literal["match", "no_match"] = "match"
    json_schema: dict[str, Any] | None = None
    """JSON Schema (draft 2020-12) that the output must satisfy."""

    def __post_init__(self) -> None:
        given = [name for name in ("python", "regex", "json_schema") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError("a scorer takes exactly one of `python`, `regex` and `jsonSchema`")
        if self.python is not None and not all(self.python.partition(":")):
            raise ValueError(f"`{self.python}` is not of the form `module:function`")


class MetricSpec(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """One metric of a plan; turned into a score in [0, 1] where higher is better."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    role: MetricRole = "guardrail"
    margin: _Share | None = None
    """How much worse, on the scale from 0 to 1, is still tolerated. 0.02 by default, 0.10 for heavy tails."""
    cap: Annotated[float, msgspec.Meta(gt=0)] | None = None
    """Where an unbounded metric is clipped, in its own unit; by default stable's p99, learned and frozen."""
    scorer: ScorerSpec | None = None
    direction: Direction | None = None
    """`higher` by default; `lower` for latency, tokens, cost and length."""
    dry_run: bool = False
    """Measured and reported, but decides nothing: it can neither roll back, pause nor hold a step."""

    def __post_init__(self) -> None:
        if self.scorer is None and self.name not in BUILTIN_METRICS:
            raise ValueError(
                f"`{self.name}` is not a built-in metric ({', '.join(BUILTIN_METRICS)}) and has no `scorer`"
            )
        if self.scorer is not None and self.name in BUILTIN_METRICS:
            raise ValueError(f"`{self.name}` is a built-in metric: a metric with a `scorer` needs a name of its own")
        if self.name in BUILTIN_METRICS and self.name not in HEAVY_TAILED and (self.cap or self.direction):
            raise ValueError(f"`{self.name}` is 0 or 1 by definition: it takes neither `cap` nor `direction`")

    @property
    def tolerance(self) -> float:
        """The margin δ in force."""
        if self.margin is not None:
            return self.margin
        return DEFAULT_MARGIN_HEAVY if self.name in HEAVY_TAILED else DEFAULT_MARGIN

    @property
    def lower_is_better(self) -> bool:
        """Whether a smaller measurement is the better one."""
        return self.direction == "lower" or (self.direction is None and self.name in HEAVY_TAILED)

    @property
    def learns_cap(self) -> bool:
        """Whether the cap is stable's frozen p99."""
        return self.name in HEAVY_TAILED and self.cap is None


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
    cap: float | None = None
    """Where an unbounded metric is clipped, in its own unit; its scores are fractions of it."""
    dry_run: bool = False
    """It decides nothing; `failed` and `passed` say what it would have said."""
    words: str = ""
