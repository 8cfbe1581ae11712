"""The plan of a rollout: `rollout.yaml` as a value. Every key, type and default of the file is declared here."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

import msgspec

from trimtab.analysis.model import MetricSpec
from trimtab.core.canonical import canonical_json
from trimtab.core.errors import InputError, IntegrityError

__all__ = [
    "DEFAULT_METRICS",
    "AnalysisStep",
    "BakeStep",
    "Duration",
    "PauseStep",
    "PlanProblem",
    "RolloutPlan",
    "ShadowStep",
    "Step",
    "decode_plan",
    "default_plan",
    "encode_plan",
    "find_problem",
    "plan_json_schema",
    "seconds",
]

DURATION_PATTERN = r"^[0-9]+(\.[0-9]+)?(ms|s|m|h|d)$"
Duration = Annotated[str, msgspec.Meta(pattern=DURATION_PATTERN, description="A number and ms, s, m, h or d.")]
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_Percent = Annotated[float, msgspec.Meta(gt=0, le=100)]
_Count = Annotated[int, msgspec.Meta(ge=0)]


def seconds(duration: str) -> float:
    """Return the seconds of a duration such as `90s`, `5m` or `1.5h`; raises `InputError`."""
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)", duration)
    if match is None:
        raise InputError("malformed_duration", f"`{duration}` is not a duration", hint="write 10s, 5m, 2h or 1d")
    return float(match[1]) * _SECONDS[match[2]]


class _Plan(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Base: camelCase in files, unknown keys are errors."""


class ShadowStep(_Plan, frozen=True, kw_only=True):
    """Mirror a share of the requests to the candidate: stable answers the user, the candidate's answer is judged."""

    traffic: _Percent
    """Per cent of units whose requests are mirrored. Every one costs a second model call."""
    duration: Duration
    min_units: _Count | None = None
    """Units answered by both, at least, before the step may end."""


class PauseStep(_Plan, frozen=True, kw_only=True):
    """Stay at the weight in force while the guardrails watch."""

    duration: Duration | None = None
    """How long at least. Without duration and minUnits the step waits for `trimtab rollout resume`."""
    min_units: _Count | None = None
    """Units of each arm measured since users first met the candidate, at least, before the step may end."""
    manual: bool = False
    """Wait for `trimtab rollout resume`, whatever else is given."""

    @property
    def waits_for_people(self) -> bool:
        """Whether only a person ends this step."""
        return self.manual or (self.duration is None and self.min_units is None)


class AnalysisStep(_Plan, frozen=True, kw_only=True):
    """Stay at the weight in force until the evidence says yes."""

    mode: Literal["noHarm", "nonInferior"] = "nonInferior"
    """noHarm: enough units and no guardrail against it. nonInferior: every guardrail and goal proven no worse."""
    min_units: _Count | None = None
    max_duration: Duration = "1h"
    """When the evidence is still inconclusive then, the rollout pauses for a person to decide."""


class BakeStep(_Plan, frozen=True, kw_only=True):
    """Serve the candidate to everybody but a small control group, before stable is replaced for good."""

    duration: Duration
    min_units: _Count | None = None
    control_weight: Annotated[float, msgspec.Meta(gt=0, le=50)] = 5.0
    """Per cent of units kept on stable, so that guardrails still have something to compare with."""


class Step(_Plan, frozen=True, kw_only=True, omit_defaults=True):
    """One step: exactly one of these keys."""

    shadow: ShadowStep | None = None
    set_weight: _Percent | None = None
    """Per cent of units on the candidate; an equal share of stable's units becomes the matched control."""
    pause: PauseStep | None = None
    analysis: AnalysisStep | None = None
    bake: BakeStep | None = None

    def __post_init__(self) -> None:
        given = [
            name for name in ("shadow", "set_weight", "pause", "analysis", "bake") if getattr(self, name) is not None
        ]
        if len(given) != 1:
            raise ValueError("a step has exactly one of `shadow`, `setWeight`, `pause`, `analysis` and `bake`")

    @property
    def min_units(self) -> int | None:
        """The step's own demand for units."""
        part = self.shadow or self.pause or self.analysis or self.bake
        return None if part is None else part.min_units

    @property
    def text(self) -> str:
        """The step in words."""
        if self.shadow is not None:
            return f"shadow {self.shadow.traffic:g} % for {self.shadow.duration}{_units(self.min_units)}"
        if self.pause is not None:
            if self.pause.waits_for_people:
                return "wait for a person to resume"
            spell = f" for {self.pause.duration}" if self.pause.duration else ""
            return f"pause{spell}{_units(self.min_units)}"
        if self.analysis is not None:
            what = "non-inferiority" if self.analysis.mode == "nonInferior" else "no harm"
            return f"analysis of {what}, at most {self.analysis.max_duration}{_units(self.min_units)}"
        if self.bake is not None:
            return f"bake for {self.bake.duration} with {self.bake.control_weight:g} % control{_units(self.min_units)}"
        return f"weight {self.set_weight:g} %"


def _units(count: int | None) -> str:
    return f", at least {count:,} units" if count else ""


DEFAULT_METRICS = (
    MetricSpec(name="error", margin=0.02),
    MetricSpec(name="format", margin=0.02),
    MetricSpec(name="refusal", margin=0.02),
    MetricSpec(name="latency", margin=0.1),
    MetricSpec(name="tokens", role="signal", margin=0.1),
)
"""Metrics of a plan that names none."""


class RolloutPlan(_Plan, frozen=True, kw_only=True):
    """How a candidate replaces stable."""

    unit: Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_-]{0,31}$")] = "user"
    """What is randomised, for people (`user`, `session`, `tenant`): callers send it as the targeting key."""
    window: Duration = "5m"
    """How long a unit's generations are averaged into its one observation."""
    alpha: Annotated[float, msgspec.Meta(gt=0, le=0.5)] = 0.05
    """Chance, at most, that an unchanged candidate is ever rolled back by the guardrails of one attempt."""
    min_units: _Count = 20
    """Units of each arm for steps that name no number of their own."""
    on_no_data: Literal["hold", "rollback"] = "hold"
    """What a step does when its time is up and nobody met the candidate in it."""
    deadline: Duration = "7d"
    """When the rollout has not ended then, it expires and stable stays."""
    metrics: Annotated[list[MetricSpec], msgspec.Meta(min_length=1)] = msgspec.field(
        default_factory=lambda: list(DEFAULT_METRICS)
    )
    steps: Annotated[list[Step], msgspec.Meta(min_length=1, max_length=50)]

    @property
    def window_ms(self) -> int:
        """Length of a unit's window in milliseconds."""
        return round(1000 * seconds(self.window))

    @property
    def shadow_stages(self) -> frozenset[int]:
        """Indices of the steps in which the candidate only shadows."""
        return frozenset(index for index, step in enumerate(self.steps) if step.shadow is not None)

    @property
    def phases(self) -> int:
        """In how many phases evidence is gathered (shadow, live): each gets its share of alpha."""
        return 2 if 0 < len(self.shadow_stages) < len(self.steps) else 1


class PlanProblem(msgspec.Struct, frozen=True):
    """What is wrong with a plan whose fields are each right."""

    path: tuple[str | int, ...]
    message: str
    hint: str


def find_problem(plan: RolloutPlan) -> PlanProblem | None:
    """Return the first contradiction between the parts of a plan, if there is one."""
    names: set[str] = set()
    for index, metric in enumerate(plan.metrics):
        if metric.name in names:
            return PlanProblem(("metrics", index), f"metric `{metric.name}` is named twice", "give each its own name")
        names.add(metric.name)
    if not any(metric.role == "guardrail" for metric in plan.metrics):
        return PlanProblem(
            ("metrics",), "no metric is a guardrail, so nothing could roll back", "give at least one `role: guardrail`"
        )
    return _step_problem(plan)


def _step_problem(plan: RolloutPlan) -> PlanProblem | None:
    weight = 0.0
    for index, step in enumerate(plan.steps):
        where = ("steps", index)
        if step.shadow is not None and weight:
            return PlanProblem(where, "`shadow` after `setWeight`", "shadow first: users meet the candidate already")
        if step.analysis is not None and not weight:
            return PlanProblem(
                where, "`analysis` before any `setWeight`", "put `setWeight` before it: nobody is served"
            )
        if step.set_weight is not None:
            if step.set_weight < weight:
                return PlanProblem(
                    where,
                    f"the weight falls from {weight:g} to {step.set_weight:g}",
                    "weights only grow: users who met the candidate stay with it until it is rolled back",
                )
            weight = step.set_weight
        if step.bake is not None and index != len(plan.steps) - 1:
            return PlanProblem(where, "`bake` is not the last step", "move it to the end: after it comes promotion")
        if step.bake is not None and 100 - step.bake.control_weight < weight:
            room = 100 - weight
            hint = f"use at most {room:g}" if room else "drop `setWeight: 100`: `bake` serves all but control"
            return PlanProblem(where, "`controlWeight` would take users away from the candidate", hint)
    return None


def default_plan() -> RolloutPlan:
    """Return the plan of a feature without a `rollout.yaml`."""
    return RolloutPlan(
        steps=[
            Step(set_weight=5.0),
            Step(pause=PauseStep(duration="10m", min_units=50)),
            Step(set_weight=25.0),
            Step(pause=PauseStep(duration="20m", min_units=200)),
            Step(set_weight=50.0),
            Step(analysis=AnalysisStep(mode="noHarm", min_units=400, max_duration="1d")),
            Step(bake=BakeStep(duration="30m", control_weight=5.0)),
        ]
    )


def encode_plan(plan: RolloutPlan) -> bytes:
    """Return the canonical JSON that a rollout freezes: defaults written out, so that later versions read the same."""
    metrics = [msgspec.structs.replace(metric, margin=metric.tolerance) for metric in plan.metrics]
    return canonical_json(msgspec.structs.replace(plan, metrics=metrics))


def decode_plan(data: bytes) -> RolloutPlan:
    """Return the plan in stored canonical JSON; raises `IntegrityError` where the store does not hold one."""
    try:
        return msgspec.json.decode(data, type=RolloutPlan)
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise IntegrityError("unreadable_plan", f"the stored plan cannot be read: {error}") from error


def plan_json_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of `rollout.yaml`, generated from these types, for editors."""
    schema: dict[str, Any] = msgspec.json.schema(RolloutPlan)
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "Trimtab rollout plan"
    for name in ("Step", "ScorerSpec"):
        for field in schema["$defs"][name]["properties"].values():
            if "anyOf" in field:  # `null` is how Python says "not this key"; in the file the key is just absent
                field["anyOf"] = [kind for kind in field["anyOf"] if kind != {"type": "null"}]
                field.pop("default", None)
    step = schema["$defs"]["Step"]
    step.update({"minProperties": 1, "maxProperties": 1})
    return schema
