"""What was recorded, as JSON over HTTP."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, get_args

import msgspec

from trimtab.core.errors import InputError
from trimtab.evidence.questions import Bucket, Filter, failing, release_metrics, trends
from trimtab.rollout.steps import seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from trimtab.evidence.reader import EvidenceReader

__all__ = ["EVIDENCE_QUESTIONS", "answer"]

_FIELDS = frozenset(Filter.__struct_fields__) - {"span"}


def _metrics(reader: EvidenceReader, which: Filter, asked: dict[str, str]) -> Any:  # noqa: ANN401 - any JSON value
    _nothing_else(asked)
    return release_metrics(reader, which)


def _trends(reader: EvidenceReader, which: Filter, asked: dict[str, str]) -> Any:  # noqa: ANN401 - as above
    bucket = asked.pop("by", "hour")
    _nothing_else(asked)
    if bucket not in get_args(Bucket):
        raise InputError("invalid_bucket", f"`{bucket}` is no bucket", param="by", hint=", ".join(get_args(Bucket)))
    return trends(reader, which, bucket=bucket)  # type: ignore[arg-type] # one of them, as just seen


def _failing(reader: EvidenceReader, which: Filter, asked: dict[str, str]) -> Any:  # noqa: ANN401 - as above
    by, limit = asked.pop("by", "error"), asked.pop("limit", "20")
    _nothing_else(asked)
    return failing(reader, which, by=by, limit=_number(limit, "limit"))


_QUESTIONS: dict[str, Callable[[EvidenceReader, Filter, dict[str, str]], Any]] = {
    "metrics": _metrics,
    "trends": _trends,
    "failing": _failing,
}
EVIDENCE_QUESTIONS = tuple(_QUESTIONS)
"""What may follow `/api/v1/evidence/`."""


def answer(reader: EvidenceReader, question: str, asked: Mapping[str, str], *, environment: str) -> Any:  # noqa: ANN401 - any JSON value
    """Return the answer to one of `EVIDENCE_QUESTIONS`; raises `InputError` that names a parameter it does not take.

    `since` is a span (`1h`, the default) up to now; other parameters are fields of `Filter`.
    """
    rest = dict(asked)
    now_ms = time.time_ns() // 1_000_000
    span = (now_ms - round(1000 * seconds(rest.pop("since", "1h"))), now_ms + 1)
    given: dict[str, Any] = {name: rest.pop(name) for name in sorted(_FIELDS & rest.keys())}
    if "release_number" in given:
        given["release_number"] = _number(given["release_number"], "release_number")
    which = Filter(span=span, **({"environment": environment} | given))
    return _QUESTIONS[question](reader, which, rest)


def _number(text: str, name: str) -> int:
    try:
        return msgspec.convert(text, int, strict=False)
    except msgspec.ValidationError as error:
        raise InputError("invalid_number", f"`{text}` is not a whole number", param=name) from error


def _nothing_else(asked: Mapping[str, str]) -> None:
    if asked:
        known = ", ".join(sorted({*_FIELDS, "since", "by", "limit"}))
        raise InputError("unknown_parameter", f"unknown: {', '.join(asked)}", param=next(iter(asked)), hint=known)
