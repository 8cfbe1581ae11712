"""One rollout in the controller's hands: its plan, its meters, its evidence, and what they say."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import msgspec

from trimtab.analysis.evidence import Arms, EvidenceState, decode_evidence, encode_evidence
from trimtab.analysis.experiment import ExperimentQuestion, judge_experiment
from trimtab.analysis.experiment_evidence import CANDIDATE
from trimtab.analysis.ledger import Ledger, margins_of
from trimtab.analysis.mirrors import MirrorTally, mirrors_stopped, mirrors_words
from trimtab.analysis.sample_ratio import ripen, weigh_ratio
from trimtab.analysis.segments import weigh_segments
from trimtab.analysis.verdict import Limits, challenger_harm, judge
from trimtab.core.errors import InputError, IntegrityError
from trimtab.events import Score
from trimtab.rollout.effects import Observation
from trimtab.rollout.entrants import designs_of
from trimtab.rollout.foresight import foresee
from trimtab.rollout.spec import decode_plan
from trimtab.rollout.splits import splits_of
from trimtab.serving.assignment import bucket_after, salted

if TYPE_CHECKING:
    from trimtab.analysis.evidence import Phase
    from trimtab.analysis.experiment import ExperimentVerdict
    from trimtab.analysis.scorers import Meter, ScorerLibrary
    from trimtab.analysis.scoring import ScorerResult
    from trimtab.events import Feedback, Generation, Withdrawal
    from trimtab.releases.eval_result import EvalResult
    from trimtab.releases.model import CompiledRelease
    from trimtab.rollout.model import GateAnswer, Rollout
    from trimtab.rollout.ports import ControlTransaction
    from trimtab.rollout.spec import RolloutPlan

__all__ = ["WITHDREW", "Attempt", "load_attempt", "plan_limits", "scores_of"]

WITHDREW = "took the candidate out of service"
"""Stands in the reason of a rollback that a data-plane process began by itself."""


def plan_limits(plan: RolloutPlan) -> Limits:
    """Return how much evidence the decisions of a plan take."""
    return Limits.of(plan.metrics, alpha=plan.alpha, phases=plan.phases)


class Attempt:
    """A live rollout as the controller holds it between ticks. Thrown away whenever a commit fails."""

    def __init__(
        self,
        rollout: Rollout,
        plan: RolloutPlan,
        ledger: Ledger,
        *,
        releases: dict[str, CompiledRelease],
        problem: str,
    ) -> None:
        self.rollout_id = rollout.id
        self._feature = rollout.feature
        self._environment = rollout.environment
        self.plan = plan
        self.limits = plan_limits(plan)
        self.ledger = ledger
        self.problem = problem
        self.newly_counted: list[str] = []
        self.dirty = False
        """Whether evidence changed since the last commit."""
        self._withdrawn = ""
        self._designs = designs_of(plan, rollout.challengers)
        self._releases = releases
        self._splits = splits_of(plan)
        self._ratio_limit = len({split.level for split in self._splits.values()}) / plan.srm.alpha

    def fold(self, generation: Generation, *, now_ms: int) -> None:
        """Take one generation into the evidence."""
        if generation.arm == "shadow":
            self.ledger.state.mirrors.setdefault(generation.stage, MirrorTally()).count(generation)
        self.ledger.add(generation, self._releases.get(generation.release), now_ms=now_ms)
        self.dirty = True

    def tell(self, event: Feedback | Score, *, now_ms: int) -> None:
        """Take what somebody said of a generation, of this attempt or not."""
        if event.environment != self._environment or event.feature not in {"", self._feature}:
            return
        self.dirty = self.ledger.cohorts.tell(event, now_ms=now_ms) or self.dirty

    def withdrawn(self, event: Withdrawal) -> None:
        """Take a process's word that it serves the candidate no more. Decided upon in the commit that takes it."""
        self._withdrawn = self._withdrawn or f"{event.process} {WITHDREW}: {event.reason}"

    def close_windows(self, now_ms: int) -> None:
        """Turn windows that are over into observations."""
        closed = self.ledger.close(now_ms)
        self.newly_counted += closed
        ripened = ripen(self.ledger.state.levels, now_ms)
        told = self.ledger.cohorts.close(now_ms)
        self.dirty = self.dirty or ripened or told or bool(closed)

    def observe(
        self,
        rollout: Rollout,
        *,
        stable: str,
        gate: GateAnswer | None = None,
        evaluation: EvalResult | None = None,
    ) -> Observation:
        """Return what the evidence shows for a rollout at the step it is in."""
        state = self.ledger.state
        phase: Phase = "shadow" if rollout.stage in self.plan.shadow_stages else "live"
        units = state.phases[phase].units
        here = state.generations.get(rollout.stage, Arms())
        mirrors = state.mirrors.get(rollout.stage, MirrorTally())
        verdict = None
        ratios = weigh_ratio(state.levels, self._splits, limit=self._ratio_limit, unit=self.plan.unit)
        if rollout.stage >= 0 and not self.problem:
            verdict = judge(state, self.plan.metrics, limits=self.limits, phase=phase, unit=self.plan.unit)
            found = weigh_segments(state, self.plan.metrics, alpha=self.plan.alpha, unit=self.plan.unit)
            reason = verdict.reason
            if verdict.status == "failed" and found and found[0].harmed:
                reason += f" Hurt most: {found[0].words}"
            lost = mirrors_words(mirrors, notable=True) if phase == "shadow" else ""
            if lost:
                reason = f"{reason.removesuffix('.')}. {lost}"
            experiment = self._experiment(rollout)
            foreseen = foresee(self.plan, rollout.stage, state, experiment, limits=self.limits)
            verdict = msgspec.structs.replace(
                verdict, reason=reason, segments=found, ratios=ratios, experiment=experiment, forecast=foreseen
            )
        return Observation(
            stable=stable,
            verdict=verdict,
            control_units=units.control,
            candidate_units=units.candidate,
            control_generations=here.control,
            candidate_generations=here.candidate,
            srm=" ".join(one.words for one in ratios if one.broken),
            problem=self.problem,
            withdrawn=self._withdrawn,
            gate=gate,
            evaluation=evaluation,
            mirrors=mirrors_words(mirrors),
            mirrors_stopped=mirrors_stopped(mirrors),
        )

    def _experiment(self, rollout: Rollout) -> ExperimentVerdict | None:
        design = self._designs.get(rollout.stage)
        if design is None:
            return None
        state, plan = self.ledger.state, self.plan
        harms = {
            challenger: challenger_harm(state, challenger, plan.metrics, limits=self.limits, unit=plan.unit)
            for challenger in design.challengers
        }
        asked = ExperimentQuestion(
            stage=rollout.stage,
            design=design,
            metrics=plan.metrics,
            alpha=plan.alpha,
            harmed={challenger: harm for challenger, harm in harms.items() if harm},
            labels={one.release: one.label for one in rollout.challengers} | {CANDIDATE: "the candidate"},
            unit=plan.unit,
        )
        return judge_experiment(state, asked)

    def crown(self, challenger: str) -> None:
        """Go on with a challenger in the candidate's place."""
        self.ledger.crown(challenger)
        self.dirty = True

    def take_results(self) -> list[ScorerResult]:
        """Return the registered scorers' results since the last call."""
        scoring = self.ledger.scoring
        results, scoring.results = scoring.results, []
        return results

    def save(self, tx: ControlTransaction) -> None:
        """Write the evidence; the caller commits it together with cursors and rollout."""
        if self.newly_counted:
            tx.add_counted_units(self.rollout_id, self.newly_counted)
        if pasts := self.ledger.experiments.take_changed_pasts():
            tx.save_pasts(self.rollout_id, pasts)
        tx.save_evidence(self.rollout_id, encode_evidence(self.ledger.state))

    def committed(self) -> None:
        """Note that what :meth:`save` wrote is safe."""
        self.newly_counted = []
        self.dirty = False


def load_attempt(tx: ControlTransaction, rollout: Rollout, library: ScorerLibrary) -> Attempt:
    """Return a rollout with the evidence the store holds. What hinders measuring becomes the attempt's `problem`."""
    plan = decode_plan(rollout.plan)
    served = [rollout.stable, rollout.candidate, *(one.release for one in rollout.challengers)]
    releases = {digest: found.compiled for digest in served if (found := tx.release(digest))}
    problem = ""
    meters: list[Meter] = []
    try:
        meters = library.meters([metric for metric in plan.metrics if not metric.dry_run])
    except InputError as error:
        problem = str(error)
    if any(digest not in releases for digest in served):
        problem = "the stable release, the candidate or a challenger is not stored"
    stored = tx.evidence(rollout.id)
    state = _decode(stored) if stored is not None else EvidenceState.start(margins_of(plan.metrics))
    for metric in plan.metrics:
        if metric.dry_run:  # one that cannot be measured is told of, and hinders nothing
            try:
                meters += library.meters([metric])
            except InputError as error:
                state.last_scorer_error[metric.name] = str(error)
    ledger = Ledger(
        state,
        meters=meters,
        window_ms=plan.window_ms,
        shadow_stages=plan.shadow_stages,
        counted=tx.counted_units(rollout.id),
        splits=splits_of(plan),
        segments=plan.segments,
        told=plan.metrics,
        position=partial(bucket_after, salted(rollout.salt)),
        experiments=designs_of(plan, rollout.challengers),
        pasts=tx.pasts(rollout.id),
    )
    ledger.candidate = rollout.candidate
    return Attempt(rollout, plan, ledger, releases=releases, problem=problem)


def _decode(stored: bytes) -> EvidenceState:
    try:
        return decode_evidence(stored)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise IntegrityError("unreadable_evidence", f"the stored evidence cannot be read: {error}") from error


def scores_of(results: list[ScorerResult]) -> list[Score]:
    """Return scorer results as events. The same result has the same id, so that a repeated tick adds nothing."""
    return [
        Score(
            id=f"score_{result.name}_{result.generation.id}",
            at_ms=result.generation.at_ms,
            feature=result.generation.feature,
            environment=result.generation.environment,
            generation=result.generation.id,
            name=result.name,
            value=result.value,
            source=f"scorer:{result.name}",
        )
        for result in results
    ]
