"""What goes into the state machine and what comes out of it, as values."""

from __future__ import annotations

from typing import Literal

import msgspec

from trimtab.analysis.verdict import Verdict
from trimtab.releases.eval_result import EvalResult
from trimtab.rollout.model import GateAnswer, RolloutState, Transition
from trimtab.rollout.spec import NotifyEvent

__all__ = [
    "AppendTransition",
    "Command",
    "CommandKind",
    "Effect",
    "MovePointer",
    "Notify",
    "Observation",
    "Publish",
    "Withdrawn",
]

CommandKind = Literal["pause", "resume", "promote", "abort", "supersede"]


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """A person's will. `promote` skips to full and says so in the history; `supersede` makes room for a new attempt."""

    kind: CommandKind
    actor: str
    reason: str = ""


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """What a look at the evidence shows."""

    stable: str
    """Digest the environment points at now."""
    verdict: Verdict | None = None
    control_units: int = 0
    candidate_units: int = 0
    """Units measured in the phase at hand (shadow or live), over all its steps."""
    control_generations: int = 0
    candidate_generations: int = 0
    """Generations in the step at hand."""
    srm: str = ""
    """Why the arms' sizes do not fit the shares they should have, in words; empty while they do."""
    gate: GateAnswer | None = None
    """What the gate said last, where the step at hand is one."""
    evaluation: EvalResult | None = None
    """What the suite of the step at hand said last of the candidate, where the step waits for one."""
    problem: str = ""
    """Why nothing can be measured (a scorer that does not load, a release that is gone): no start, or a pause."""
    mirrors: str = ""
    """What became of the requests to be mirrored in the step at hand, in words; empty where all were answered."""
    mirrors_stopped: bool = False
    """Whether money is why no more are mirrored."""
    withdrawn: str = ""
    """Why a data-plane process took the candidate out of service by itself; empty where none did."""


class Withdrawn(msgspec.Struct, frozen=True, kw_only=True):
    """The routing without the candidate was published."""


class MovePointer(msgspec.Struct, frozen=True, kw_only=True):
    """Point the environment at a release."""

    to_release: str
    actor: str
    reason: str


class Publish(msgspec.Struct, frozen=True):
    """Compile and publish the routing snapshot of an environment."""

    environment: str


class Notify(msgspec.Struct, frozen=True, kw_only=True):
    """Tell people: a message to each target of the plan that wants to hear of it, in the same transaction."""

    event: NotifyEvent
    rollout: str
    feature: str
    state: RolloutState
    actor: str = "controller"
    """Who made it happen."""
    text: str
    """Why."""


class AppendTransition(msgspec.Struct, frozen=True):
    """Write history."""

    transition: Transition


Effect = MovePointer | Publish | Notify | AppendTransition
