"""Recorded generations as an upstream: the answer that a model really gave to this question."""

from __future__ import annotations

import csv
import difflib
from typing import TYPE_CHECKING, Any, Self

import msgspec

from trimtab.core.errors import NotFoundError, SourceError
from trimtab.sim.draw import uniform

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

__all__ = ["Recorded", "ReplayColumns", "ReplaySource"]

_CSV_FIELD_BYTES = 256 * 1024 * 1024


class ReplayColumns(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """Which column holds what. A column of a file without latency or cost is named by the empty text."""

    model: str = "model"
    query: str = "query"
    answer: str = "answer"
    latency: str = "latency"
    """In seconds."""
    cost: str = ""
    """In US dollars."""


class Recorded(msgspec.Struct, frozen=True):
    """One recorded generation."""

    answer: str
    latency_seconds: float = 0.0
    cost_usd: float = 0.0


class ReplaySource:
    """Recorded generations by model and question.

    A model is found by its whole recorded name (`openaichat/gpt-4-0314`) or by the part after the last `/`
    (`gpt-4-0314`). Where a question was asked of a model several times, the user decides which answer is given, always
    the same one.
    """

    def __init__(self, recorded: Mapping[tuple[str, str], list[Recorded]]) -> None:
        self._recorded = dict(recorded)
        for (model, query), answers in recorded.items():
            self._recorded.setdefault((model.rpartition("/")[2], query), answers)
        self.models = sorted({model for model, _ in recorded} | {model.rpartition("/")[2] for model, _ in recorded})

    def __len__(self) -> int:
        return sum(map(len, {id(answers): answers for answers in self._recorded.values()}.values()))

    @classmethod
    def from_file(cls, path: Path, columns: ReplayColumns | None = None) -> Self:
        """Read a `.csv` (with a header) or `.jsonl` file.

        Raises `SourceError` with path and line for what cannot be read, a missing column, a latency that is no number.
        """
        columns = columns or ReplayColumns()
        recorded: dict[tuple[str, str], list[Recorded]] = {}
        for line, row in _rows(path):
            model, query = _cell(row, columns.model, path, line), _cell(row, columns.query, path, line)
            one = Recorded(
                _cell(row, columns.answer, path, line),
                _number(row, columns.latency, path, line),
                _number(row, columns.cost, path, line),
            )
            recorded.setdefault((model, query.strip()), []).append(one)
        if not recorded:
            raise SourceError("empty_replay", "there is no recorded generation in this file", path=str(path))
        return cls(recorded)

    def find(self, model: str, query: str, *, unit: str = "") -> Recorded:
        """Return the recorded generation; raises `NotFoundError` for a model or question that was not recorded."""
        answers = self._recorded.get((model, query.strip()))
        if answers:
            return answers[int(uniform(model, query, unit) * len(answers))] if len(answers) > 1 else answers[0]
        if model not in self.models:
            close = difflib.get_close_matches(model, self.models, n=1) or self.models[:1]
            raise NotFoundError(
                "replay_miss", f"no generation of model `{model}` was recorded", param="model", hint=f"try `{close[0]}`"
            )
        raise NotFoundError(
            "replay_miss",
            f"model `{model}` was never asked this: {query[:120]!r}",
            param="messages",
            hint="the last user message must be a recorded question, word for word",
        )


def _rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        if path.suffix == ".jsonl":
            yield from _json_rows(path)
        else:
            csv.field_size_limit(_CSV_FIELD_BYTES)  # the default of 128 KiB is less than long generations
            with path.open(newline="", encoding="utf-8") as file:
                reader = csv.DictReader(file)
                for row in reader:
                    yield reader.line_num, row
    except OSError as error:
        raise SourceError("unreadable_file", f"cannot read the recording: {error.strerror}", path=str(path)) from error
    except UnicodeDecodeError as error:
        raise SourceError("not_utf8", f"byte {error.start} is not UTF-8", path=str(path)) from error
    except csv.Error as error:
        raise SourceError("malformed_csv", f"not CSV: {error}", path=str(path)) from error


def _json_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                try:
                    yield number, msgspec.json.decode(line, type=dict[str, Any])
                except msgspec.DecodeError as error:
                    raise SourceError("malformed_json", f"{error}", path=str(path), line=number) from error


def _cell(row: dict[str, Any], column: str, path: Path, line: int) -> str:
    value = row.get(column)
    if value is None:
        present = ", ".join(f"`{name}`" for name in row if name)
        raise SourceError(
            "missing_column", f"there is no `{column}` here", path=str(path), line=line, hint=f"columns are {present}"
        )
    return str(value)


def _number(row: dict[str, Any], column: str, path: Path, line: int) -> float:
    if not column or (value := row.get(column)) in (None, ""):
        return 0.0
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise SourceError(
            "malformed_number", f"`{column}` is {value!r}, no number", path=str(path), line=line
        ) from error
