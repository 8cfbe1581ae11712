"""One evaluation: a dataset, a suite, and the releases that are tried on them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from trimtab.artifacts.files import read_text
from trimtab.artifacts.model import artifact_digest
from trimtab.artifacts.yaml_source import parse_yaml
from trimtab.bootstrap.control import open_eval_desk
from trimtab.bootstrap.data_plane import endpoints
from trimtab.bootstrap.prices import price_of
from trimtab.control.evals import EvalOutcome
from trimtab.core.errors import InputError
from trimtab.core.quantity import quantity
from trimtab.evals.answers import Answer, AnswerBook
from trimtab.evals.budget import Budget
from trimtab.evals.calibration import Calibration, CalibrationReport, calibrate, family_of, held_against
from trimtab.evals.calibration_files import CalibrationFiles
from trimtab.evals.comparison import compare
from trimtab.evals.correction import corrected_change, corrected_mean
from trimtab.evals.datasets import in_split
from trimtab.evals.gate import judge_gate
from trimtab.evals.judge_rule import judge_refusal, judge_words
from trimtab.evals.labels import judgements
from trimtab.evals.reports.html import Example
from trimtab.evals.results import RunFiles, Tried
from trimtab.evals.running import RunPorts, RunRequest, run_eval
from trimtab.evals.scoring import Judge, scorer_content
from trimtab.evals.suite import margin_of, read_suite, suite_digest
from trimtab.evaluation.models import CalledModels, with_model

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from trimtab.bootstrap.settings import Settings
    from trimtab.control.eval_desk import Dataset, EvalDesk
    from trimtab.evals.comparison import Comparison
    from trimtab.evals.correction import Judgement
    from trimtab.evals.datasets import Item
    from trimtab.evals.datasets.shaping import Split
    from trimtab.evals.gate import GateReport
    from trimtab.evals.labels import Label
    from trimtab.evals.results import EvalRun
    from trimtab.evals.suite import Suite
    from trimtab.releases.eval_result import EvalResult
    from trimtab.releases.model import CompiledRelease
    from trimtab.stats import Level

__all__ = ["EvalSession", "Wishes"]

_MODEL_MARK = "="


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """How a run is made."""

    samples: int = 1
    budget_usd: float | None = None
    concurrency: int = 8
    timeout_seconds: float = 600.0
    max_age_seconds: float | None = None
    """Answers that are older are asked again; of any age where `None`."""
    on_answer: Callable[[int], None] | None = None
    on_score: Callable[[int], None] | None = None


class EvalSession:
    """A feature, a dataset's split and a suite; a context that closes the store.

    Releases are named as elsewhere, `#2` or a digest; `#2=provider/model` is that release with another model.
    """

    def __init__(self, settings: Settings, feature: str, *, dataset: str, suite: Path, split: Split = "all") -> None:
        """Read everything; raises `SourceError` for the suite, `NotFoundError` for the rest."""
        self._settings = settings
        self.feature = feature
        self.suite: Suite = read_suite(parse_yaml(read_text(suite), str(suite)))
        self._folder = suite.resolve().parent
        self.split: Split = split
        self.desk: EvalDesk = open_eval_desk(settings)
        try:
            self.dataset: Dataset = self.desk.dataset(feature, dataset)
        except BaseException:
            self.desk.close()
            raise
        self._contents = {metric: scorer_content(one, [self._folder]) for metric, one in self.suite.metrics.items()}
        self._scorers = {metric: artifact_digest("scorer", one) for metric, one in self._contents.items()}
        self.items: list[Item] = [
            item for item in self.dataset.items if in_split(item, split, heldout=self.dataset.heldout)
        ]
        self.runs = RunFiles(settings.data_directory.evals / "runs")
        self.calibrations = CalibrationFiles(settings.data_directory.evals / "calibrations")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.desk.close()

    def release(self, reference: str) -> CompiledRelease:
        """Return what a reference names, with another model where it says so."""
        name, mark, model = reference.partition(_MODEL_MARK)
        release = self.desk.release(self.feature, name).compiled
        return with_model(release, model) if mark else release

    def tried(self, release: CompiledRelease, *, samples: int = 1) -> Tried:
        """Return what a run of a release over this session's items is called."""
        label = f"{self.feature}#{release.number}"
        model = f"{release.model.provider}/{release.model.model}"
        if self.desk.release(self.feature, f"#{release.number}").digest != release.digest:
            label = f"{label}={model}"
        return Tried(
            feature=self.feature,
            release=release.digest,
            label=label,
            model=model,
            dataset=self.dataset.name,
            dataset_digest=self.dataset.digest,
            split=self.split,
            suite=self.suite.name,
            suite_digest=suite_digest(self.suite, self._scorers),
            samples=samples,
        )

    def find(self, reference: str) -> EvalRun:
        """Return the newest complete run of a release.

        Raises `InputError`: `not_run` where there is none, `no_answers` where not a single answer came back in it.
        """
        tried = self.tried(self.release(reference))
        found = self.runs.newest(tried)
        where = f"on {self.dataset.name} ({self.split}) by this suite"
        hint = f"trimtab eval run {self.feature} '{reference}' --dataset {self.dataset.name} --suite ..."
        if found is None:
            stopped = self.runs.stopped(tried)
            message = f"{self.feature}{reference} was not run {where}"
            if stopped:
                message = f"{self.feature}{reference} was not run to its end {where}: {stopped}"
            raise InputError("not_run", message, param="run", hint=hint)
        if found.no_answer:
            message = f"{self.feature}{reference} gave no answer {where}: {found.no_answer}"
            raise InputError("no_answers", message, param="run", hint=f"once it can be asked: {hint}")
        return found

    def run(self, reference: str, wishes: Wishes, *, baseline: str | None = None) -> EvalRun:
        """Try a release, keep the run, and return it; `baseline` is for judges that compare pairs."""
        if not self.items:
            raise InputError("no_items", f"{self.dataset.name} has no items in split {self.split}", param="split")
        release = self.release(reference)
        self.desk.put_scorers(self.feature, self._contents)
        now_ms = self.desk.clock.now_ms()
        request = RunRequest(
            tried=self.tried(release, samples=wishes.samples),
            items=self.items,
            suite=self.suite,
            scorers=self._scorers,
            baseline="" if baseline is None else self.release(baseline).digest,
            now_ms=now_ms,
        )
        run = asyncio.run(self._run(release, request, wishes))
        self.runs.put(run)
        return run

    async def _run(self, release: CompiledRelease, request: RunRequest, wishes: Wishes) -> EvalRun:
        where = endpoints(self._settings)
        async with CalledModels(where, prices=price_of, timeout_seconds=wishes.timeout_seconds) as models:
            ports = RunPorts(
                models=models,
                answers=self._settings.data_directory.evals / "answers",
                code_folders=[self._folder],
                budget=Budget(wishes.budget_usd),
                concurrency=wishes.concurrency,
                not_before_ms=0
                if wishes.max_age_seconds is None
                else request.now_ms - round(1000 * wishes.max_age_seconds),
                on_answer=wishes.on_answer,
                on_score=wishes.on_score,
            )
            return await run_eval(models.subject(release), request, ports)

    def compare(self, baseline: EvalRun, candidate: EvalRun) -> Comparison:
        """Return what changed, at the level and with the margins of the suite's gate."""
        gate = self.suite.gate
        margins = {}
        for rule in gate.rules:
            info = baseline.metrics.get(rule.metric)
            if rule.non_inferior is None or info is None:
                continue
            values = [sum(each) / len(each) for each in baseline.values(rule.metric).values()]
            mean = sum(values) / len(values) if values else 0.0
            margin = margin_of(rule.non_inferior, binary=info.kind == "binary", mean=mean)
            if margin is not None:
                margins[rule.metric] = margin
        return compare(baseline, candidate, alpha=gate.alpha, margins=margins)

    def examples(self, comparison: Comparison, candidate: EvalRun) -> dict[str, Example]:
        """Return the texts of items that were lost, by item."""
        folder = self._settings.data_directory.evals / "answers"
        books = [AnswerBook.read(folder, one.release) for one in (comparison.baseline, comparison.candidate)]
        lost = {item for one in comparison.metrics if one.flips is not None for item in one.flips.lost}
        rows = {row.item: row for row in candidate.rows if row.sample == 0}
        found = {}
        for item in self.items:
            if item.id in lost:
                before, after = (book.get(item.key, 0) or Answer() for book in books)
                row = rows[item.id]
                found[item.id] = Example(
                    asked=item.question, before=before.output, after=row.error or after.output, why=row.details
                )
        return found

    def gate(self, candidate: EvalRun, baseline: EvalRun | None, comparison: Comparison | None) -> GateReport:
        """Return whether a candidate passes the suite's gate."""
        barred, vouched = self._judges(candidate, baseline or candidate)
        return judge_gate(
            self.suite.gate, candidate, baseline=baseline, comparison=comparison, barred=barred, vouched=vouched
        )

    def _judges(self, candidate: EvalRun, baseline: EvalRun) -> tuple[dict[str, str], dict[str, str]]:
        """Return the metrics of judges that may not gate this change, and why; and how far the others agree."""
        barred, vouched = {}, {}
        few_may = self.suite.gate.uncalibrated_judges == "allow"
        for metric, info in candidate.metrics.items():
            if info.judge:
                known = self.calibrations.get(info.scorer)
                old, new = held_against(known, baseline.tried.model, candidate.tried.model)
                vouched[metric] = judge_words(old, new)
                if refusal := judge_refusal(old, new, few_may=few_may):
                    barred[metric] = refusal
        return barred, vouched

    def calibrate(self, metric: str, references: Sequence[str], labels: Sequence[Label]) -> CalibrationReport:
        """Hold a judge against people on the newest runs of some releases, keep what came of it, and return it.

        Raises `InputError` where the metric is no judge's, or no label is about these releases.
        """
        scorer = self.suite.metrics.get(metric)
        if not isinstance(scorer, Judge):
            judges = ", ".join(name for name, one in self.suite.metrics.items() if isinstance(one, Judge)) or "none"
            raise InputError(
                "no_judge", f"`{metric}` is no judge's metric", param="metric", hint=f"there are: {judges}"
            )
        judged: dict[str, list[Judgement]] = {}
        releases: dict[str, list[Judgement]] = {}
        models = []
        for reference in references:
            run = self.find(reference)
            models.append(run.tried.model)
            found = releases[run.tried.label] = judgements(run, metric, labels)
            judged.setdefault(family_of(run.tried.model), []).extend(found)
        if not any(one.people for each in judged.values() for one in each):
            runs = ", ".join(references)
            raise InputError("no_labels", f"no label is about an answer of {runs}", param="labels")
        scale: Level = "interval" if scorer.kind == "numeric" and scorer.mode == "grade" else "nominal"
        tolerance = 0.5 / (scorer.grades - 1) if scale == "interval" else 0.0  # half a grade
        calibration = self.calibrations.put(
            Calibration(
                metric=metric,
                scorer=self._scorers[metric],
                judge=scorer.model,
                tolerance=tolerance,
                at_ms=self.desk.clock.now_ms(),
                families=calibrate(judged, tolerance=tolerance, level=scale),
            )
        )
        named = list(releases.items())
        old, new = held_against(calibration, models[0], models[-1])
        return CalibrationReport(
            calibration=calibration,
            releases=[corrected_mean(name, each, scale) for name, each in named],
            change=corrected_change(named[0], named[-1], scale) if len(named) > 1 else None,
            agreement=judge_words(old, new),
            refusal=judge_refusal(old, new),
        )

    def record(self, candidate: EvalRun, report: GateReport, baseline: EvalRun | None = None) -> EvalResult | None:
        """Keep the outcome on the release's record, under the suite's name; `None` where it is no stored release.

        It says over what and against what: a release that is compared with itself passes too.
        What could not be judged is not recorded: it says nothing of the release.
        """
        tried = candidate.tried
        if report.verdict == "error" or _MODEL_MARK in tried.label:
            return None
        split = "" if tried.split == "all" else f" ({tried.split})"
        against = "" if baseline is None else f" against {baseline.tried.label}"
        asked = f"{quantity(len({row.item for row in candidate.rows}), 'item')} of {tried.dataset}{split}{against}"
        outcome = EvalOutcome(
            passed=report.passed,
            source="eval",
            detail=f"{report.verdict} on {asked}: {report.text}",
            dataset=tried.dataset,
            dataset_digest=tried.dataset_digest,
            split="" if tried.split == "all" else tried.split,
        )
        return self.desk.record(self.feature, tried.release, self.suite.name, outcome)

    @property
    def needs_baseline(self) -> bool:
        """Whether a judge of the suite compares with the baseline's answers."""
        return any(
            isinstance(one, Judge) and one.mode == "pair" and one.against == "baseline" for one in self.suite.scorers
        )
