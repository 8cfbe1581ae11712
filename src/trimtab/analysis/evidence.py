"""Evidence of one rollout attempt: open windows, what closed windows said, and the wealth of the bets.

The unit of evidence is the user (or whatever key is randomised), never the request: requests of one user resemble each
other, and counting them one by one makes noise look like proof. A unit's window opens with its first generation and
closes `window` later; the mean of its scores is then one observation. Each unit counts once per attempt and phase: a
second window of the same user is not a fresh random draw (it would tell again what is known of that user), and the bets
are only fair on fresh draws. Generations without a unit count as a unit of their own.

Two phases bet apart, since they may meet the same users: `shadow`, where the candidate answers beside stable and both
answers of one unit make the pair, and `live`, where candidate units are paired with concurrent matched controls.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from trimtab.analysis.answer_comparison import AnswerComparison
from trimtab.analysis.arms import Arms, Side
from trimtab.analysis.cuped import Slope
from trimtab.analysis.experiment_evidence import ExperimentState
from trimtab.analysis.judged_units import JudgedUnits
from trimtab.analysis.mirrors import MirrorTally
from trimtab.analysis.sample_ratio import LevelState
from trimtab.stats import Moments, PairedBetting, PendingPairs, RatioScale

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "Arms",
    "CapLearning",
    "Cohort",
    "EvidenceState",
    "Following",
    "MetricState",
    "Pace",
    "Phase",
    "PhaseState",
    "ScaleLearning",
    "Side",
    "Signal",
    "Window",
    "decode_evidence",
    "encode_evidence",
]

Phase = Literal["shadow", "live"]


Signal = tuple[int, str, float]
"""When it was said, the id of the event, and the value: the largest is the last word."""


class Window(msgspec.Struct, kw_only=True):
    """An open window of one unit: running sums per metric, for one side (live) or both (shadow)."""

    phase: Phase
    stage: int
    opened_ms: int
    sums: dict[Side, dict[str, tuple[float, int]]]
    """Side -> metric -> (sum of scores, number of scores)."""
    segments: dict[str, str] = {}
    """Segment -> the value of this unit."""
    challenger: str = ""
    """Digest of the challenger that the unit met, in an experiment; empty for candidate and control."""
    fresh: bool = True
    """Whether the unit may count in an experiment."""
    compared: bool = False
    """Whether an answer of it was compared with the other arm's as text."""
    ids: list[str] = []
    """Generations counted, so that one delivered twice counts once."""
    unanswered: dict[str, tuple[Side, dict[str, float]]] = {}
    """In shadow: requests of which one side is known, by the user's generation; that side, and its scores by metric."""


class MetricState(msgspec.Struct, kw_only=True):
    """What is known about one metric in one phase."""

    harm: PairedBetting
    non_inferior: PairedBetting
    control: Moments
    candidate: Moments
    """Of unit scores in [0, 1], for people: bets read pairs."""
    pending: dict[int, PendingPairs] = {}
    """By stage: scores are paired within one stage."""

    @classmethod
    def start(cls, margin: float) -> MetricState:
        """Return a metric about which nothing is known."""
        return cls(
            harm=PairedBetting.start("harm", margin),
            non_inferior=PairedBetting.start("non_inferior", margin),
            control=Moments(),
            candidate=Moments(),
        )

    def add_pair(self, control: float, candidate: float) -> None:
        """Bet on one pair of unit scores."""
        self.harm.update(control=control, candidate=candidate)
        self.non_inferior.update(control=control, candidate=candidate)

    def add_unit(self, side: Side, score: float, stage: int) -> None:
        """Take a unit's score and bet on the pair it completes, if it does."""
        self.moments(side).add(score)
        self.bet(side, score, stage)

    def moments(self, side: Side) -> Moments:
        """Return what is shown of an arm."""
        return self.control if side == "control" else self.candidate

    def bet(self, side: Side, score: float, stage: int) -> None:
        """Bet on the pair that a unit's score completes, if it does."""
        pending = self.pending.get(stage)
        if pending is None:
            pending = self.pending[stage] = PendingPairs()
        pair = pending.add_control(score) if side == "control" else pending.add_candidate(score)
        if pair is not None:
            self.add_pair(*pair)


class PhaseState(msgspec.Struct, kw_only=True):
    """Units whose windows closed in one phase, and the metrics they fed."""

    units: Arms
    metrics: dict[str, MetricState]

    @classmethod
    def start(cls, margins: Mapping[str, float]) -> PhaseState:
        """Return a phase in which nothing was seen; `margins` is δ by metric."""
        return cls(units=Arms(), metrics={name: MetricState.start(margin) for name, margin in margins.items()})

    def count(self, scores: Mapping[Side, Mapping[str, float]], *, stage: int, paired: bool) -> None:
        """Take in one unit: its mean scores by metric, of its side or, `paired`, of both sides (shadow)."""
        for side in scores:
            self.units.add(side)
            if not paired:
                for name, score in scores[side].items():
                    self.metrics[name].add_unit(side, score, stage)
        if not paired or len(scores) < 2:  # noqa: PLR2004 - both sides
            return
        control, candidate = scores["control"], scores["candidate"]
        for name in control.keys() & candidate.keys():
            metric = self.metrics[name]
            metric.control.add(control[name])
            metric.candidate.add(candidate[name])
            metric.add_pair(control[name], candidate[name])


class CapLearning(msgspec.Struct, kw_only=True):
    """The cap of an unbounded metric, or the limit of a quantile: a quantile of stable's over its first units.

    Frozen before any bet uses it, because a cap that moved with the data it clips would let the data choose its scale.
    """

    value: float | None = None
    sample: list[float] = []
    """One measurement per unit until enough are there."""
    units: list[str] = []


class ScaleLearning(msgspec.Struct, kw_only=True):
    """The scale of a ratio: stable's over its first units, frozen before any bet uses it."""

    scale: RatioScale | None = None
    sample: list[tuple[float, float]] = []
    """Above and below the line, of one request per unit until enough are there."""
    units: list[str] = []


class Cohort(msgspec.Struct, array_like=True):
    """One live unit that is followed until everything that may still be told of it has had its time."""

    side: Side
    stage: int
    opened_ms: int
    waiting: list[str]
    """Metrics whose time is not over yet."""
    segments: dict[str, str] = {}
    generations: list[str] = []
    """Short keys of its generations, for signals name them."""
    signals: dict[str, dict[str, Signal]] = {}
    """Metric -> generation -> the last that was said."""
    challenger: str = ""
    fresh: bool = True
    """As of the unit's window."""


class Following(msgspec.Struct, kw_only=True):
    """Units that are followed for what is told of them later, and what was told too early."""

    cohorts: dict[str, Cohort] = {}
    """By counting key."""
    early: dict[str, list[tuple[str, Signal]]] = {}
    """Generation -> (metric, what was said) before the generation itself was read, which another process wrote."""
    turned_away: int = 0
    """Units that were not followed because as many were as can be."""


class Pace(msgspec.Struct, kw_only=True):
    """How fast units come."""

    first_ms: int
    last_ms: int
    units: Arms

    @property
    def pairs_per_second(self) -> float:
        """Pairs a second that the slower of the arms allows; 0 while nothing can be said."""
        elapsed_ms = self.last_ms - self.first_ms
        pairs = min(self.units.control, self.units.candidate)
        return 1000 * pairs / elapsed_ms if elapsed_ms > 0 else 0.0


class EvidenceState(msgspec.Struct, kw_only=True):
    """Everything the engine knows, in one serialisable value. Its size grows with open windows, not with traffic."""

    phases: dict[Phase, PhaseState]
    windows: dict[str, Window] = {}
    """By counting key."""
    caps: dict[str, CapLearning] = {}
    scales: dict[str, ScaleLearning] = {}
    generations: dict[int, Arms] = {}
    """Generations per stage: says whether traffic flows in the step at hand."""
    scored: dict[str, int] = {}
    """Generations that a registered scorer was asked about, by metric."""
    scorer_errors: dict[str, int] = {}
    last_scorer_error: dict[str, str] = {}
    segments: dict[str, dict[str, dict[str, MetricState]]] = {}
    """Segment -> value -> metric, of live units."""
    following: Following = msgspec.field(default_factory=Following)
    answers: dict[str, AnswerComparison] = {}
    """By metric that compares answers, of live units."""
    judged: dict[str, JudgedUnits] = {}
    """By metric with a judge."""
    levels: dict[int, LevelState] = {}
    """Sizes of the arms, by the step that set the weight."""
    mirrors: dict[int, MirrorTally] = {}
    """What became of the requests that were to be mirrored, by step."""
    challengers: dict[str, PhaseState] = {}
    """By digest: each release that an experiment serves beside the candidate, against the same controls."""
    experiments: dict[int, ExperimentState] = {}
    """By step."""
    slopes: dict[str, Slope] = {}
    """By goal: how what a unit scored on stable foretells what it will."""
    paces: dict[int, Pace] = {}
    """By step: how fast units are measured in it."""
    unpaired: int = 0
    """Shadow units dropped because only one side ever answered."""

    @classmethod
    def start(cls, margins: dict[str, float]) -> EvidenceState:
        """Return a state in which nothing was seen; `margins` is δ by metric."""
        return cls(phases={phase: PhaseState.start(margins) for phase in ("shadow", "live")})


_decoder = msgspec.msgpack.Decoder(EvidenceState)


def encode_evidence(state: EvidenceState) -> bytes:
    """Return the bytes the store keeps."""
    return msgspec.msgpack.encode(state)


def decode_evidence(data: bytes) -> EvidenceState:
    """Return the state in stored bytes."""
    return _decoder.decode(data)
