"""A gate as JUnit's XML, for machines that show test results: one case for each rule."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.sax.saxutils import quoteattr

if TYPE_CHECKING:
    from trimtab.evals.gate import GateReport
    from trimtab.evals.results import EvalRun

__all__ = ["junit_report", "junit_run"]

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_KINDS = {"failed": "failure", "inconclusive": "failure", "error": "error"}


def junit_report(gate: GateReport, *, suite: str, release: str) -> str:
    """Return the XML; an inconclusive rule is a failure that says so."""
    cases = []
    for one in gate.rules:
        name = f"    <testcase classname={_quoted(f'{suite}.{release}')} name={_quoted(one.rule)}"
        kind = _KINDS.get(one.verdict)
        if kind is None:
            cases.append(f"{name}/>")
        else:
            message = f"<{kind} type={_quoted(one.verdict)} message={_quoted(one.detail)}/>"
            cases.append(f"{name}>\n      {message}\n    </testcase>")
    wrong = sum(one.verdict in {"failed", "inconclusive"} for one in gate.rules)
    errors = sum(one.verdict == "error" for one in gate.rules)
    return _suite(suite, cases, failures=wrong, errors=errors)


def junit_run(run: EvalRun) -> str:
    """Return a run as XML, one case for each item and binary metric."""
    cases = []
    failures = errors = 0
    for row in run.rows:
        for metric, info in run.metrics.items():
            problem = row.error or row.failures.get(metric, "")
            value = row.scores.get(metric)
            if info.kind != "binary" or (value is None and not problem):
                continue
            name = f"{row.item}" + (f" (answer {row.sample + 1})" if run.tried.samples > 1 else "")
            head = f"    <testcase classname={_quoted(f'{run.tried.suite}.{metric}')} name={_quoted(name)}"
            if problem:
                errors += 1
                cases.append(f"{head}>\n      <error message={_quoted(problem)}/>\n    </testcase>")
            elif value == 1.0:
                cases.append(f"{head}/>")
            else:
                failures += 1
                detail = row.details.get(metric, "did not pass")
                cases.append(f"{head}>\n      <failure message={_quoted(detail)}/>\n    </testcase>")
    return _suite(run.tried.suite, cases, failures=failures, errors=errors)


def _suite(name: str, cases: list[str], *, failures: int, errors: int) -> str:
    counts = f'tests="{len(cases)}" failures="{failures}" errors="{errors}"'
    body = "\n".join(cases)
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n'
        f"<testsuites {counts}>\n  <testsuite name={_quoted(name)} {counts}>\n{body}\n  </testsuite>\n</testsuites>\n"
    )


def _quoted(text: str) -> str:
    return quoteattr(_NOT_XML.sub("\ufffd", text))
