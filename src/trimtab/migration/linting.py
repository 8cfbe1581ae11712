"""The work of state `lint`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from trimtab.artifacts.model import ModelContent
from trimtab.core.errors import IntegrityError
from trimtab.core.quantity import quantity
from trimtab.migration.candidates import Variant, asked_directly, calling
from trimtab.migration.lint import LintReport, LintRequest, lint
from trimtab.migration.work import Result

if TYPE_CHECKING:
    from trimtab.migration.work import Work

__all__ = ["base_variant", "lint_fork", "lint_work"]


def lint_work(work: Work) -> Result:
    """Look up what the new model does with the parameters that the release pins."""
    report = lint_fork(work)
    return Result(
        gate="passed",
        reasons=[_words(len(report.findings))],
        content=msgspec.to_builtins(report),
        findings=[finding.id for finding in report.findings],
    )


def _words(findings: int) -> str:
    if not findings:
        return "nothing changes for its parameters"
    return f"{quantity(findings, 'finding')} about its parameters"


def lint_fork(work: Work) -> LintReport:
    """Return the findings for a fork, as of now."""
    ports, plan = work.ports, work.plan
    source = ports.capabilities.named(plan.source.provider, plan.source.model)
    target = ports.capabilities.named(plan.target.provider, plan.target.model)
    if target.context_tokens is None:
        window = ports.context_tokens(plan.target.provider, plan.target.model)
        target = msgspec.structs.replace(target, context_tokens=window)
    logged = [one.largest_input_tokens for one in work.inventory.traffic if one.feature == work.fork.name]
    request = LintRequest(
        source=source,
        target=target,
        overrides=plan.options.parameters,
        largest_input_tokens=max(logged, default=0),
        today=datetime.fromtimestamp(work.now_ms / 1000, UTC).date().isoformat(),
    )
    return lint(asked_directly(work.parts.release.compiled, work.fork.role, plan.source), request)


def base_variant(work: Work) -> Variant:
    """Return the release with the new model and the parameters of the fork's lint, and nothing else changed."""
    compiled, target = work.parts.release.compiled, work.plan.target
    old = calling(compiled, work.plan.source)
    if old is None:
        raise IntegrityError(
            "missing_model", f"release {compiled.digest} does not call {work.plan.source.text}", param=compiled.digest
        )
    report = msgspec.convert(work.earlier(work.fork.passed["lint"].artifact), LintReport)
    model = ModelContent(provider=target.provider, model=target.model, parameters=report.parameters)
    if old.called_by == "responses" and target.provider == old.provider:
        model = msgspec.structs.replace(model, api="responses")
    return Variant(name="model", says="the new model alone", model=model, replaces=old)
