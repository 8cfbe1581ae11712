"""What people said of answers, from a file, and how it meets what a judge said of them."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

import msgspec

from trimtab.core.errors import SourceError
from trimtab.evals.correction import Judgement

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trimtab.evals.results import EvalRun

__all__ = ["Label", "judgements", "read_labels"]


class Label(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One person's word on one answer."""

    item: str
    """Id of the item."""
    release: str
    """Which release's answer: `#2`, or as runs call it, `#2=provider/model`."""
    label: float
    """On the judge's scale: 0 or 1; a grade from 0 to 1; of pairs 1 where the release's answer is better, 0, or 0.5."""
    who: str = ""
    sample: int = 0


def read_labels(text: str, path: str) -> list[Label]:
    """Return the labels of a JSON Lines or CSV file (by its suffix); raises `SourceError` with the line."""
    found = []
    rows: Sequence[tuple[int, object]]
    if path.endswith(".csv"):
        reader = csv.DictReader(io.StringIO(text))
        rows = [(reader.line_num, row) for row in reader]
    else:
        rows = [(number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]
    for number, row in rows:
        try:
            if isinstance(row, str):
                found.append(msgspec.json.decode(row, type=Label))
            else:
                found.append(msgspec.convert(row, Label, strict=False))
        except msgspec.DecodeError as error:
            raise SourceError("malformed_label", f"this label is wrong: {error}", path=path, line=number) from error
    if not found:
        raise SourceError("no_labels", "there is no label in it", path=path)
    return found


def judgements(run: EvalRun, metric: str, labels: Sequence[Label]) -> list[Judgement]:
    """Return what a judge and people said of a run's answers; annotators in the same order for all of them."""
    mine = [label for label in labels if run.tried.label.removeprefix(run.tried.feature) == label.release]
    people = sorted({label.who for label in mine})
    said: dict[tuple[str, int], dict[str, float]] = {}
    for label in mine:
        said.setdefault((label.item, label.sample), {})[label.who] = label.label
    return [
        Judgement(
            judge=row.scores[metric],
            people=[said[row.item, row.sample].get(who) for who in people] if (row.item, row.sample) in said else [],
            flip=row.flips.get(metric),
        )
        for row in run.rows
        if metric in row.scores
    ]
