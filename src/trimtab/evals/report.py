"""The report of a test suite, counted: JUnit's XML, which most test runners write, or promptfoo's JSON."""

from __future__ import annotations

from typing import Literal

import msgspec

from trimtab.core.errors import InputError
from trimtab.evals.junit import count_junit
from trimtab.evals.promptfoo import count_promptfoo
from trimtab.evals.tally import Tally

__all__ = ["LARGEST_REPORT_BYTES", "ReportFormat", "SuiteReport", "judged", "read_report"]

LARGEST_REPORT_BYTES = 256 * 1024 * 1024

ReportFormat = Literal["junit", "promptfoo"]


class SuiteReport(msgspec.Struct, frozen=True, kw_only=True):
    """A report, and where it came from."""

    format: ReportFormat
    tally: Tally


def read_report(data: bytes) -> SuiteReport:
    """Count the cases of a report; raises `InputError` for what is neither format, or holds no case that ran."""
    start = data.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    if start == b"<":
        report = SuiteReport(format="junit", tally=count_junit(data))
    elif start == b"{":
        report = SuiteReport(format="promptfoo", tally=count_promptfoo(data))
    else:
        raise InputError(
            "unknown_report",
            "this is neither JUnit's XML nor promptfoo's JSON",
            hint="write one with `pytest --junit-xml=report.xml` or `promptfoo eval -o results.json`",
        )
    if not report.tally.ran:
        raise InputError("empty_report", "no case of this suite ran, so it says nothing")
    return report


def judged(tally: Tally, threshold: float) -> bool:
    """Whether enough cases passed; those that failed with an error did not, and skipped ones do not count."""
    return tally.ran > 0 and tally.passed / tally.ran >= threshold
