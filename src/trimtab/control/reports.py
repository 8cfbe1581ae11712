"""Answers of the control plane, as values that every surface prints: CLI, API and console."""

from __future__ import annotations

import msgspec

from trimtab.analysis.mirrors import MirrorTally, mirrors_words
from trimtab.events import Feedback, Generation, Score

__all__ = [
    "FeatureRunning",
    "MirrorReport",
    "ProcessRunning",
    "RolloutRunning",
    "RunningReport",
    "SeenRelease",
    "TraceReport",
]


class SeenRelease(msgspec.Struct, frozen=True, kw_only=True):
    """What traffic really met: requests of one release and arm in the report's window."""

    release: str
    """`feature#number`."""
    digest: str
    arm: str
    requests: int
    share: float
    """Of the feature's requests in the window, shadow calls left out; 0 for shadow."""
    by_process: dict[str, int]
    """Requests per process id."""


class MirrorReport(msgspec.Struct, frozen=True, kw_only=True):
    """What became of requests that were to be mirrored."""

    answered: int
    failed: dict[str, int]
    """By error code: the candidate was asked and did not answer."""
    missed: dict[str, int]
    """By error code: the candidate was not asked, or not to the end."""
    cost_usd: float
    words: str
    """The same in words; empty where all were answered."""

    @classmethod
    def of(cls, tally: MirrorTally) -> MirrorReport | None:
        """Return a tally as a report; `None` where nothing was to be mirrored."""
        if not tally.total:
            return None
        return cls(
            answered=tally.answered,
            failed=tally.failed,
            missed=tally.missed,
            cost_usd=tally.cost_usd,
            words=mirrors_words(tally),
        )


class RolloutRunning(msgspec.Struct, frozen=True, kw_only=True):
    """The rollout a snapshot declares."""

    id: str
    candidate: str
    candidate_digest: str
    state: str
    stage: int
    weight: float
    control_weight: float
    shadow: float
    challengers: dict[str, float] = {}
    """Shares of units by `feature#number`, in an experiment."""
    withdrawn_by: list[str] = []
    """Ids of the processes that took the candidate out of service by themselves: they serve stable."""
    mirrors: MirrorReport | None = None
    """Of all its shadow steps, by the processes that still report; `null` where nothing was to be mirrored."""


class FeatureRunning(msgspec.Struct, frozen=True, kw_only=True):
    """One feature: what is declared, and what traffic saw."""

    feature: str
    team: str
    stable: str
    stable_digest: str
    rollout: RolloutRunning | None
    seen: list[SeenRelease]


class ProcessRunning(msgspec.Struct, frozen=True, kw_only=True):
    """One data-plane process and whether it can be trusted to be up to date."""

    id: str
    kind: str
    pid: int
    host: str
    machine: str
    """Whose relay told of it; empty on the machine that was asked."""
    revision: int
    heartbeat_age_seconds: float
    requests: int
    stale: str
    """Empty, or why it is stale."""
    problem: str = ""
    """Why its events are not written whole, or the newest snapshot is not served; empty while all is well."""
    without_content: int = 0
    """Events written without the content that they should have, since it began."""
    dropped: int = 0
    """Events that were not written at all."""


class RunningReport(msgspec.Struct, frozen=True, kw_only=True):
    """Which version is running right now: the declaration beside the observation."""

    environment: str
    revision: int
    """Revision of the declared snapshot."""
    published_at_ms: int
    at_ms: int
    window_minutes: int
    features: list[FeatureRunning]
    processes: list[ProcessRunning]


class TraceReport(msgspec.Struct, frozen=True, kw_only=True):
    """Everything known about one request."""

    generation: Generation
    release: str
    """`feature#number`."""
    measures: dict[str, float]
    """Built-in metrics, each in its own unit: error, refusal, format and schema are 1 for good and 0 for bad."""
    scores: list[Score]
    feedback: list[Feedback]
    shadows: list[Generation]
    """Mirrored calls that the candidate answered beside it."""
