"""Steps of a plan."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import urlsplit

import msgspec

from trimtab.core.durations import DURATION_PATTERN, Duration, seconds

__all__ = [
    "DATASET_PATTERN",
    "DURATION_PATTERN",
    "ENVIRONMENT_NAME_PATTERN",
    "SUITE_PATTERN",
    "URL_PATTERN",
    "AnalysisStep",
    "BakeStep",
    "Count",
    "Duration",
    "EnvironmentName",
    "ExperimentArm",
    "ExperimentStep",
    "GateStep",
    "LayerClaim",
    "OfflineEvalStep",
    "PauseStep",
    "Percent",
    "PlanPart",
    "ShadowStep",
    "Step",
    "seconds",
]

URL_PATTERN = r"^https?://[\x21-\x7e]+$"
ENVIRONMENT_NAME_PATTERN = r"^[A-Za-z_][A-Za-z0-9_]{0,127}$"
EnvironmentName = Annotated[str, msgspec.Meta(pattern=ENVIRONMENT_NAME_PATTERN)]
ToolKind = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_]{0,47}$")]
Percent = Annotated[float, msgspec.Meta(gt=0, le=100)]
Count = Annotated[int, msgspec.Meta(ge=0)]


class PlanPart(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Base: camelCase in files, unknown keys are errors."""


class LayerClaim(PlanPart, frozen=True, kw_only=True):
    """A slot of a layer: no unit is in two slots of one layer, so rollouts in it never meet the same unit."""

    name: Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_-]{0,63}$")]
    share: Percent = 100
    """Per cent of the layer's units; all weights of the plan are shares of them."""


class ShadowStep(PlanPart, frozen=True, kw_only=True):
    """Mirror a share of the requests to the candidate: stable answers the user, the candidate's answer is judged."""

    traffic: Percent
    """Per cent of units whose requests are mirrored. Every one costs a second model call."""
    duration: Duration
    min_units: Count | None = None
    """Units answered by both, at least, before the step may end."""
    budget_usd: Annotated[float, msgspec.Meta(gt=0)] | None = None
    """What the mirrored requests of the step may cost, on each machine; then no more are sent."""
    hosted_tools: Annotated[list[ToolKind], msgspec.Meta(max_length=50)] = []
    """Kinds of tools that run at the provider, free of side effects. Requests with any other are not mirrored."""

    @property
    def text(self) -> str:
        """The step in words."""
        return f"shadow {self.traffic:g} % for {self.duration}"


class PauseStep(PlanPart, frozen=True, kw_only=True):
    """Stay at the weight in force while the guardrails watch."""

    duration: Duration | None = None
    """How long at least. Without duration and minUnits the step waits for `trimtab rollout resume`."""
    min_units: Count | None = None
    """Units of each arm measured since users first met the candidate, at least, before the step may end."""
    manual: bool = False
    """Wait for `trimtab rollout resume`, whatever else is given."""

    @property
    def waits_for_people(self) -> bool:
        """Whether only a person ends this step."""
        return self.manual or (self.duration is None and self.min_units is None)

    @property
    def text(self) -> str:
        """The step in words."""
        if self.waits_for_people:
            return "wait for a person to resume"
        return f"pause for {self.duration}" if self.duration else "pause"


class AnalysisStep(PlanPart, frozen=True, kw_only=True):
    """Stay at the weight in force until the evidence says yes."""

    mode: Literal["noHarm", "nonInferior"] = "nonInferior"
    """noHarm: enough units and no guardrail against it. nonInferior: every guardrail and goal proven no worse."""
    min_units: Count | None = None
    max_duration: Duration = "1h"
    """When the evidence is still inconclusive then, the rollout pauses for a person to decide."""

    @property
    def text(self) -> str:
        """The step in words."""
        what = "non-inferiority" if self.mode == "nonInferior" else "no harm"
        return f"analysis of {what}, at most {self.max_duration}"


SUITE_PATTERN = r"^[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?$"
DATASET_PATTERN = r"^(?:[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?@v[1-9][0-9]{0,8}|sha256:[0-9a-f]{64})$"


class OfflineEvalStep(PlanPart, frozen=True, kw_only=True):
    """Wait, before anybody meets the candidate, until a test suite is on record as passed for this very release."""

    suite: Annotated[str, msgspec.Meta(pattern=SUITE_PATTERN)]
    """Under which name `trimtab eval record` stores its results."""
    dataset: Annotated[str, msgspec.Meta(pattern=DATASET_PATTERN)] | None = None
    """Only results over this dataset count: `orders@v3`, or its whole digest. By default over any."""
    max_age: Duration = "7d"
    """A result older than this does not count: what a suite calls may have changed since."""
    timeout: Duration = "1h"
    """How long to wait for a result before the step counts as failed."""
    on_failure: Literal["pause", "rollback"] = "pause"
    """What a failed suite, or none within `timeout`, leads to."""

    @property
    def text(self) -> str:
        """The step in words."""
        return f"offline eval {self.awaited}, at most {self.timeout}"

    @property
    def awaited(self) -> str:
        """The suite, and what it has to be run on, in words."""
        return self.suite + ("" if self.dataset is None else f" on {self.dataset}")


class ExperimentArm(PlanPart, frozen=True, kw_only=True):
    """A release that an experiment serves beside the candidate: a challenger."""

    release: Annotated[str, msgspec.Meta(min_length=2, max_length=128)]
    """`#3`, or the beginning of a digest; resolved when the rollout starts."""
    weight: Percent | None = None
    """Per cent of units; by default the candidate's."""


class ExperimentStep(PlanPart, frozen=True, kw_only=True):
    """Stay at the weight in force until an arm is proven better than the concurrent control by every goal."""

    goals: list[str] = []
    """Metrics of `role: goal`; by default all there are."""
    arms: Annotated[list[ExperimentArm], msgspec.Meta(max_length=8)] = []
    """Challengers, beside the candidate and its equal-share control."""
    promote: Literal["candidate", "winner"] = "candidate"
    """candidate: the step ends when the candidate is proven better. winner: when any arm is, which then takes the
    candidate's place."""
    min_units: Count | None = None
    """Units of each arm measured in this step, at least, before it may end."""
    max_duration: Duration = "7d"
    cuped: bool = False
    """Take noise out by what is known of each unit from before the experiment, while it was on stable."""
    on_inconclusive: Literal["pause", "promote", "rollback"] = "pause"
    """What follows when nothing is proven then. promote: the candidate goes on to the next step nevertheless."""

    @property
    def text(self) -> str:
        """The step in words."""
        against = "".join(f", {arm.release}" for arm in self.arms)
        by = f" by {', '.join(self.goals)}" if self.goals else ""
        return f"experiment of the candidate{against}{by}, at most {self.max_duration}"


class GateStep(PlanPart, frozen=True, kw_only=True):
    """Ask somebody else whether to go on: a POST that tells where the rollout stands, until the answer says so."""

    url: Annotated[str, msgspec.Meta(pattern=URL_PATTERN)] | None = None
    """Who is asked. A URL that is a secret itself is named by `urlEnv` instead."""
    url_env: EnvironmentName | None = None
    """Name of the environment variable, where the server runs, that holds the URL."""
    secret_env: EnvironmentName | None = None
    """Name of the environment variable, where the server runs, that holds the secret questions are signed with."""
    timeout: Duration = "1h"
    """How long to ask before the gate counts as failed."""
    interval: Duration = "10s"
    """How long to wait before asking again."""
    on_failure: Literal["pause", "rollback"] = "pause"
    """What a refusal, or no approval within `timeout`, leads to."""

    def __post_init__(self) -> None:
        if (self.url is None) == (self.url_env is None):
            raise ValueError("a gate takes exactly one of `url` and `urlEnv`")

    @property
    def asked(self) -> str:
        """Who is asked, for people: the host, or the variable's name; no path and no password."""
        return self.url_env or urlsplit(self.url or "").netloc.rpartition("@")[2]

    @property
    def text(self) -> str:
        """The step in words."""
        return f"gate {self.asked}, at most {self.timeout}"


class BakeStep(PlanPart, frozen=True, kw_only=True):
    """Serve the candidate to everybody but a small control group, before stable is replaced for good."""

    duration: Duration
    min_units: Count | None = None
    control_weight: Annotated[float, msgspec.Meta(gt=0, le=50)] = 5.0
    """Per cent of units kept on stable, so that guardrails still have something to compare with."""

    @property
    def text(self) -> str:
        """The step in words."""
        return f"bake for {self.duration} with {self.control_weight:g} % control"


class Step(PlanPart, frozen=True, kw_only=True, omit_defaults=True):
    """One step: exactly one of these keys."""

    offline_eval: OfflineEvalStep | None = None
    shadow: ShadowStep | None = None
    set_weight: Percent | None = None
    """Per cent of units on the candidate; an equal share of stable's units becomes the matched control."""
    pause: PauseStep | None = None
    analysis: AnalysisStep | None = None
    experiment: ExperimentStep | None = None
    gate: GateStep | None = None
    bake: BakeStep | None = None

    def __post_init__(self) -> None:
        given = [name for name in self.__struct_fields__ if getattr(self, name) is not None]
        if len(given) != 1:
            keys = [f"`{field.encode_name}`" for field in msgspec.structs.fields(type(self))]
            raise ValueError(f"a step has exactly one of {', '.join(keys[:-1])} and {keys[-1]}")

    @property
    def min_units(self) -> int | None:
        """The step's own demand for units."""
        part = self.shadow or self.pause or self.analysis or self.experiment or self.bake
        return None if part is None else part.min_units

    @property
    def text(self) -> str:
        """The step in words."""
        part = (
            self.offline_eval or self.shadow or self.pause or self.analysis or self.experiment or self.gate or self.bake
        )
        units = f", at least {self.min_units:,} units" if self.min_units else ""
        return f"weight {self.set_weight:g} %" if part is None else part.text + units
