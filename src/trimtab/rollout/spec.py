"""The plan of a rollout: `rollout.yaml` as a value. Every key, type and default of the file is declared here."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

import msgspec

from trimtab.analysis.model import MetricSpec, ScorerSpec
from trimtab.analysis.segments import SegmentSpec
from trimtab.core.canonical import canonical_json
from trimtab.core.errors import IntegrityError
from trimtab.rollout.steps import (
    AnalysisStep,
    BakeStep,
    Count,
    Duration,
    EnvironmentName,
    ExperimentArm,
    ExperimentStep,
    GateStep,
    LayerClaim,
    OfflineEvalStep,
    PauseStep,
    PlanPart,
    ShadowStep,
    Step,
    seconds,
)

__all__ = [
    "DEFAULT_METRICS",
    "SCHEMA_VERSION",
    "AnalysisStep",
    "BakeStep",
    "ExperimentArm",
    "ExperimentStep",
    "GateStep",
    "LayerClaim",
    "NotifyEvent",
    "NotifyTarget",
    "OfflineEvalStep",
    "PauseStep",
    "RollbackPolicy",
    "RolloutPlan",
    "ShadowStep",
    "SrmCheck",
    "Step",
    "decode_plan",
    "default_plan",
    "encode_plan",
    "plan_json_schema",
    "seconds",
]

SCHEMA_VERSION = 1
"""Of `rollout.yaml`: keys are only ever added within one version."""

NotifyEvent = Literal["paused", "promoted", "rolled_back", "superseded", "expired", "no_data", "segment"]
"""What people are told of. `no_data`: nobody met both arms, and the plan says `onNoData: warn`. `segment`: users of a
segment are harmed, and the plan says `segmentAction: warn`."""

DEFAULT_METRICS = (
    MetricSpec(name="error", margin=0.02),
    MetricSpec(name="format", margin=0.02),
    MetricSpec(name="refusal", margin=0.02),
    MetricSpec(name="latency", margin=0.1),
    MetricSpec(name="tokens", role="signal", margin=0.1),
)
"""Metrics of a plan that names none."""


class SrmCheck(PlanPart, frozen=True, kw_only=True):
    """Watch whether the arms get the units they should: a broken ratio means that the comparison lies."""

    enabled: bool = True
    alpha: Annotated[float, msgspec.Meta(gt=0, le=0.5)] = 0.001
    """Chance, at most, that a sound assignment is ever called broken in one attempt."""


class RollbackPolicy(PlanPart, frozen=True, kw_only=True):
    """What follows from proven harm."""

    mode: Literal["auto", "pause"] = "auto"
    """auto: the candidate is withdrawn at once. pause: a person decides; until then users stay with the candidate."""
    cooldown: Duration = "0s"
    """How long the same candidate may not be tried again after it was rolled back for proven harm."""


class NotifyTarget(PlanPart, frozen=True, kw_only=True):
    """Somebody to tell, by HTTP POST. Delivered at least once; every delivery of one message has the same id."""

    url_env: EnvironmentName
    """Name of the environment variable, where the server runs, that holds the URL: secrets stand in no plan."""
    secret_env: EnvironmentName | None = None
    """Name of the environment variable, where the server runs, that holds the secret messages are signed with."""
    format: Literal["json", "slack"] = "json"
    """json: all that is known. slack: `{"text": ...}`, which Slack and whatever speaks like it take."""
    on: Annotated[list[NotifyEvent], msgspec.Meta(min_length=1)] = msgspec.field(
        default_factory=lambda: list(get_args(NotifyEvent))
    )
    """Which events to tell; all by default."""


class RolloutPlan(PlanPart, frozen=True, kw_only=True):
    """How a candidate replaces stable."""

    unit: Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_-]{0,31}$")] = "user"
    """What is randomised, for people (`user`, `session`, `tenant`): callers send it as the targeting key."""
    fallback: Literal["", "session"] = ""
    """What is randomised where a caller sends no targeting key; by default nothing is, and stable answers."""
    layer: LayerClaim | None = None
    """Take part with a slot of a layer only, so that rollouts of other features in it exclude this one."""
    holdout: Annotated[float, msgspec.Meta(ge=0, lt=100)] | None = None
    """Per cent of units that stay on stable in every rollout of the feature, from this one on; 0 ends it."""
    window: Duration = "5m"
    """How long a unit's generations are averaged into its one observation."""
    alpha: Annotated[float, msgspec.Meta(gt=0, le=0.5)] = 0.05
    """Chance, at most, that an unchanged candidate is ever rolled back by the guardrails of one attempt."""
    min_units: Count = 20
    """Units of each arm for steps that name no number of their own."""
    on_no_data: Literal["hold", "rollback", "warn"] = "hold"
    """What a step does when its time is up and nobody met both arms in it. None of them advances."""
    deadline: Duration = "7d"
    """When the rollout has not ended then, it expires and stable stays."""
    metrics: Annotated[list[MetricSpec], msgspec.Meta(min_length=1)] = msgspec.field(
        default_factory=lambda: list(DEFAULT_METRICS)
    )
    segments: Annotated[list[SegmentSpec], msgspec.Meta(max_length=5)] = msgspec.field(
        default_factory=list[SegmentSpec]
    )
    """How users are divided, to see whether some are harmed while the whole looks well."""
    segment_action: Literal["pause", "warn"] = "pause"
    """What follows where users of a segment are harmed: pause for a person, once each, or tell people and go on."""
    steps: Annotated[list[Step], msgspec.Meta(min_length=1, max_length=50)]
    srm: SrmCheck = SrmCheck()
    """Sample-ratio mismatch: on by default; it pauses."""
    rollback: RollbackPolicy = RollbackPolicy()
    """What follows from proven harm."""
    notify: Annotated[list[NotifyTarget], msgspec.Meta(max_length=20)] = []
    """Who is told of it."""

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


_FIRST_KEYS: dict[type[msgspec.Struct], frozenset[str]] = {
    RolloutPlan: frozenset({"unit", "window", "alpha", "min_units", "on_no_data", "deadline", "metrics", "steps"}),
    MetricSpec: frozenset({"name", "role", "margin", "cap", "scorer", "direction"}),
    ScorerSpec: frozenset({"python", "regex", "expect", "json_schema"}),
    ShadowStep: frozenset({"traffic", "duration", "min_units"}),
    PauseStep: frozenset({"duration", "min_units", "manual"}),
    AnalysisStep: frozenset({"mode", "min_units", "max_duration"}),
    BakeStep: frozenset({"duration", "min_units", "control_weight"}),
}
"""What plans of the first version wrote out whatever it said."""


def encode_plan(plan: RolloutPlan) -> bytes:
    """Return the canonical JSON that a rollout freezes: defaults written out, so that later versions read the same.

    Keys younger than the first version are left out where they say nothing, in every part of the plan, so that a plan
    keeps its digest when there are more. Their defaults must therefore never change.
    """
    metrics = [
        metric if metric.compares_answers else msgspec.structs.replace(metric, margin=metric.allowance)
        for metric in plan.metrics
    ]
    return canonical_json(_written(msgspec.structs.replace(plan, metrics=metrics)))


def _written(value: Any) -> Any:  # noqa: ANN401 - a part of a plan, and its JSON value
    if isinstance(value, list):
        return [_written(item) for item in value]
    if not isinstance(value, msgspec.Struct):
        return value
    always = _FIRST_KEYS.get(type(value), frozenset())
    plain: dict[str, Any] = {}
    for field in msgspec.structs.fields(value):
        default = field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
        part = getattr(value, field.name)
        if field.name in always or part != default:
            plain[field.encode_name] = _written(part)
    return plain


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
    schema["$id"] = f"urn:trimtab:rollout-plan:{SCHEMA_VERSION}"
    schema["title"] = f"Trimtab rollout plan, version {SCHEMA_VERSION}"
    for kind in schema["$defs"].values():
        for field in kind.get("properties", {}).values():
            if "anyOf" in field:  # `null` is how Python says "not this key"; in the file the key is just absent
                field["anyOf"] = [kind for kind in field["anyOf"] if kind != {"type": "null"}]
                field.pop("default", None)
    schema["$defs"]["Step"].update({"minProperties": 1, "maxProperties": 1})
    schema["$defs"]["GateStep"]["oneOf"] = [{"required": ["url"]}, {"required": ["urlEnv"]}]
    return schema
