"""What `promptfoo eval -o results.json` writes (its output format, versions 2 and 3).

https://www.promptfoo.dev/docs/configuration/reference/
"""

from __future__ import annotations

import msgspec

from trimtab.core.errors import InputError
from trimtab.evals.tally import NAMES_KEPT, Tally

__all__ = ["count_promptfoo"]

_LONGEST_NAME = 80
_ERROR = 2
"""promptfoo's `failureReason` of a case that could not be judged; 1 is an assertion that did not hold."""


class _Case(msgspec.Struct):
    description: str | None = None


class _Result(msgspec.Struct, rename="camel"):
    success: bool
    failure_reason: int = 0
    test_case: _Case | None = None


class _Summary(msgspec.Struct):
    """`EvaluateSummary`; its `stats` are the counts of the same results."""

    results: list[_Result]


class _File(msgspec.Struct):
    results: _Summary


def count_promptfoo(data: bytes) -> Tally:
    """Return how the cases ended; raises `InputError` for what is no such file."""
    results = _read(data).results
    bad = [result for result in results if not result.success]
    errors = sum(result.failure_reason == _ERROR for result in bad)
    described = [case.description for result in bad if (case := result.test_case) is not None and case.description]
    return Tally(
        passed=len(results) - len(bad),
        failed=len(bad) - errors,
        errors=errors,
        examples=tuple(" ".join(name.split())[:_LONGEST_NAME] for name in described[:NAMES_KEPT]),
    )


def _read(data: bytes) -> _Summary:
    try:
        return msgspec.json.decode(data, type=_File).results
    except msgspec.ValidationError:
        pass
    except msgspec.DecodeError as error:
        raise InputError("malformed_report", f"this is not JSON: {error}") from error
    try:
        return msgspec.json.decode(data, type=_Summary)  # as its Node package returns it
    except msgspec.ValidationError as error:
        raise InputError(
            "unknown_report",
            f"this JSON is not what promptfoo writes: {error}",
            hint="write it with `promptfoo eval -o results.json`",
        ) from error
