"""What a run found, item by item, and the files it is kept in."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from trimtab.core.errors import IntegrityError, NotFoundError, StorageError
from trimtab.evals.datasets.shaping import Split

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["EvalRun", "MetricInfo", "Row", "RunFiles", "RunHead", "Tried"]


class MetricInfo(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a metric is."""

    scorer: str
    """Digest of the scorer."""
    kind: Literal["binary", "numeric"]
    lower_is_better: bool = False
    neutral: bool = False
    """Neither more nor less of it is better: a change is told, and called neither."""
    judge: str = ""
    """The model that judges; empty where none does."""


class Row(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One answer, judged."""

    item: str
    sample: int = 0
    group: str = ""
    slices: dict[str, str] = {}
    scores: dict[str, float] = {}
    """By metric; absent where the scorer does not apply or failed."""
    details: dict[str, str] = {}
    """Why an answer did not pass, in words."""
    failures: dict[str, str] = {}
    """Scorers that failed, and how."""
    flips: dict[str, bool] = {}
    """Of pairwise judges: whether the order decided."""
    error: str = ""
    """Why there is no answer."""
    latency_ms: float = 0.0
    cost_usd: float = 0.0
    input_tokens: int = 0
    output_tokens: int = 0


class Tried(msgspec.Struct, frozen=True, kw_only=True):
    """Which release was tried on what."""

    feature: str
    release: str
    """Digest."""
    label: str
    """`feature#number`, or the model's name where another one was put in."""
    model: str
    """`provider/model`."""
    dataset: str
    """`name@v3`."""
    dataset_digest: str
    split: Split
    suite: str
    suite_digest: str
    samples: int


class RunHead(msgspec.Struct, frozen=True, kw_only=True):
    """A run without its rows."""

    id: str
    at_ms: int
    tried: Tried
    metrics: dict[str, MetricInfo]
    spent_usd: float
    """What this run spent: on answers that were not there yet, and on judges."""
    cached: int
    """Answers that were there already."""
    stopped: str = ""
    """Why it is not complete; empty where it is."""


class EvalRun(RunHead, frozen=True, kw_only=True):
    """A run."""

    rows: list[Row]

    @property
    def unanswered(self) -> int:
        """Answers that failed."""
        return sum(bool(row.error) for row in self.rows)

    @property
    def answered(self) -> int:
        """Answers that came back."""
        return len(self.rows) - self.unanswered

    @property
    def no_answer(self) -> str:
        """Why not a single answer came back, so that nothing is known of the release; empty where one did."""
        if self.answered:
            return ""
        first = next((row.error for row in self.rows if row.error), "")
        if not first:
            return self.stopped or "nothing was asked"
        return (
            f"{'the call' if len(self.rows) == 1 else f'all {len(self.rows):,} calls'} failed, the first with {first}"
        )

    def values(self, metric: str, *, sample: int | None = None) -> dict[str, list[float]]:
        """Return a metric's values by item. A release that gave no answer did not pass: of binary metrics that is 0."""
        info = self.metrics[metric]
        found: dict[str, list[float]] = {}
        for row in self.rows:
            if sample is not None and row.sample != sample:
                continue
            value = row.scores.get(metric)
            if value is None and row.error and info.kind == "binary":
                value = 0.0
            if value is not None:
                found.setdefault(row.item, []).append(value)
        return found


class RunFiles:
    """Runs in a folder, one file each, written whole."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, run: EvalRun) -> Path:
        """Store a run, durable when it returns."""
        path = self._folder / f"{run.id}.json"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=self._folder, prefix=".run-")
            with os.fdopen(handle, "wb") as file:
                file.write(msgspec.json.encode(run))
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(path)
        except OSError as error:
            raise StorageError("write_failed", f"cannot store the run: {error.strerror}", param=str(path)) from error
        return path

    def get(self, run_id: str) -> EvalRun:
        """Return a run by its id; raises `NotFoundError` (`unknown_run`) or `IntegrityError` (`damaged_run`)."""
        path = self._folder / f"{Path(run_id).name}.json"
        try:
            return msgspec.json.decode(path.read_bytes(), type=EvalRun)
        except FileNotFoundError as error:
            raise NotFoundError(
                "unknown_run", f"there is no run `{run_id}`", param="run", hint="trimtab eval runs FEATURE lists them"
            ) from error
        except msgspec.DecodeError as error:
            raise IntegrityError("damaged_run", f"this run cannot be read: {error}", param=str(path)) from error

    def heads(self, feature: str = "") -> Iterator[RunHead]:
        """Yield the runs of a feature (of all where empty) without their rows, newest first."""
        decoder = msgspec.json.Decoder(RunHead)
        for path in sorted(self._folder.glob("run_*.json"), reverse=True) if self._folder.is_dir() else []:
            try:
                head = decoder.decode(path.read_bytes())
            except msgspec.DecodeError as error:
                raise IntegrityError("damaged_run", f"this run cannot be read: {error}", param=str(path)) from error
            if not feature or head.tried.feature == feature:
                yield head

    def stopped(self, like: Tried) -> str:
        """Return why the newest run of the same release, items and suite ended early; empty where none did."""
        return next((head.stopped for head in self.heads(like.feature) if _same(head.tried, like)), "")

    def newest(self, like: Tried) -> EvalRun | None:
        """Return the newest complete run of the same release, items and suite with at least as many samples."""
        for head in self.heads(like.feature):
            if not head.stopped and head.tried.samples >= like.samples and _same(head.tried, like):
                return self.get(head.id)
        return None


def _same(one: Tried, other: Tried) -> bool:
    names: Sequence[str] = ("release", "dataset_digest", "split", "suite_digest")
    return all(getattr(one, name) == getattr(other, name) for name in names)
