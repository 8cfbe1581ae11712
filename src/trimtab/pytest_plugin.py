"""A fixture for pytest that gates releases. Loads nothing of Trimtab until a test asks for it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from trimtab.evals.comparison import Comparison
    from trimtab.evals.datasets.shaping import Split
    from trimtab.evals.gate import GateReport
    from trimtab.evals.results import EvalRun

__all__ = ["EvalOutcome", "TrimtabEval"]


class EvalOutcome:
    """How a gate ended; true where it passed, so that a test is `assert trimtab_eval(...)`."""

    def __init__(self, gate: GateReport, run: EvalRun, comparison: Comparison | None) -> None:
        self.gate = gate
        self.run = run
        """The candidate's, item by item."""
        self.comparison = comparison

    @property
    def passed(self) -> bool:
        """Whether the candidate passed."""
        return self.gate.passed

    def __bool__(self) -> bool:
        return self.passed

    def __repr__(self) -> str:
        return f"<{self.run.tried.suite} {self.gate.verdict}: {self.gate.text}>"


class TrimtabEval:
    """Tries releases and gates them, as `trimtab eval gate` does."""

    def __init__(self, request: pytest.FixtureRequest) -> None:
        self._node = request.node
        self._here = Path(request.path).parent

    def __call__(  # noqa: PLR0913 - as the command's options
        self,
        feature: str,
        candidate: str,
        *,
        dataset: str,
        suite: str | Path,
        baseline: str | None = None,
        split: Split = "all",
        repeat: int = 1,
        budget_usd: float | None = None,
        concurrency: int = 8,
        config: str | Path | None = None,
        record: bool = False,
    ) -> EvalOutcome:
        """Return how the gate of a suite ends for a release; what was answered before is not asked again.

        `suite` is looked for beside the test's file; settings are read from `config`, else as on the command line.
        `record` puts the outcome on the release's record. Raises `TrimtabError` where it cannot be run.
        """
        from trimtab.bootstrap.settings import load_settings
        from trimtab.evals.reports.markdown import markdown_report
        from trimtab.evaluation.session import EvalSession, Wishes

        settings = load_settings(config=None if config is None else Path(config))
        wishes = Wishes(samples=repeat, budget_usd=budget_usd, concurrency=concurrency)
        with EvalSession(settings, feature, dataset=dataset, suite=self._here / suite, split=split) as session:
            pairwise = baseline if session.needs_baseline else None
            before = None if baseline is None else session.run(baseline, wishes, baseline=pairwise)
            run = session.run(candidate, wishes, baseline=pairwise)
            comparison = None if before is None else session.compare(before, run)
            report = session.gate(run, before, comparison)
            if record:
                session.record(run, report, before)
        self._node.add_report_section("call", "trimtab", markdown_report(comparison, report))
        return EvalOutcome(report, run, comparison)


@pytest.fixture
def trimtab_eval(request: pytest.FixtureRequest) -> Any:  # noqa: ANN401 - `TrimtabEval`; tests need not import it
    """Try releases on datasets and gate them; see `trimtab.pytest_plugin.TrimtabEval`."""
    return TrimtabEval(request)
