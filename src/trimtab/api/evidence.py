"""What was recorded, as JSON over HTTP."""

from __future__ import annotations

import time
from itertools import chain
from typing import TYPE_CHECKING, Any, get_args

import msgspec

from trimtab.core.errors import InputError
from trimtab.evidence.questions import Bucket, Filter, extract, failing, release_metrics, trends
from trimtab.rollout.steps import seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from trimtab.evidence.reader import EvidenceReader

__all__ = ["EVIDENCE_QUESTIONS", "EXPORT", "answer", "export"]

_MOST_LINES = 1_000_000_000
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
"""What may follow `/api/v1/evidence/`, and is answered as one document."""
EXPORT = "export"
"""What may follow it, too, and is answered line by line."""


def answer(reader: EvidenceReader, question: str, asked: Mapping[str, str], *, environment: str) -> Any:  # noqa: ANN401 - any JSON value
    """Return the answer to one of `EVIDENCE_QUESTIONS`; raises `InputError` that names a parameter it does not take.

    `since` is a span (`1h`, the default) up to now; other parameters are fields of `Filter`.
    """
    which, rest = _filter(asked, environment)
    return _QUESTIONS[question](reader, which, rest)


def export(reader: EvidenceReader, asked: Mapping[str, str], *, environment: str) -> Iterator[bytes]:
    """Return generations as JSON lines, oldest first: as many as `limit` says, else all that `answer`'s filter names.

    Whatever is wrong with the question is raised here (`InputError`, `StorageError`), before the first line.
    """
    which, rest = _filter(asked, environment)
    limit = _number(rest.pop("limit"), "limit") if "limit" in rest else None
    _nothing_else(rest)
    if limit is not None and not 1 <= limit <= _MOST_LINES:
        raise InputError("invalid_limit", f"a limit of {limit} is not between 1 and {_MOST_LINES:,}", param="limit")
    encode = msgspec.json.Encoder().encode
    lines = (encode(generation) + b"\n" for generation in extract(reader, which, limit=limit))
    first = next(lines, None)
    return iter(()) if first is None else chain((first,), lines)


def _filter(asked: Mapping[str, str], environment: str) -> tuple[Filter, dict[str, str]]:
    """Return which generations are meant, and the parameters that are left."""
    rest = dict(asked)
    now_ms = time.time_ns() // 1_000_000
    span = (max(0, now_ms - round(1000 * seconds(rest.pop("since", "1h")))), now_ms + 1)
    given: dict[str, Any] = {name: rest.pop(name) for name in sorted(_FIELDS & rest.keys())}
    if "release_number" in given:
        given["release_number"] = _number(given["release_number"], "release_number")
    return Filter(span=span, **({"environment": environment} | given)), rest


def _number(text: str, name: str) -> int:
    try:
        return msgspec.convert(text, int, strict=False)
    except msgspec.ValidationError as error:
        raise InputError("invalid_number", f"`{text}` is not a whole number", param=name) from error


def _nothing_else(asked: Mapping[str, str]) -> None:
    if asked:
        known = ", ".join(sorted({*_FIELDS, "since", "by", "limit"}))
        raise InputError("unknown_parameter", f"unknown: {', '.join(asked)}", param=next(iter(asked)), hint=known)
