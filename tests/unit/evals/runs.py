"""Runs as values, for tests of what is made of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trimtab.evals.results import EvalRun, MetricInfo, Row, Tried

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

TRIED = Tried(
    feature="f",
    release="sha256:1",
    label="f#1",
    model="openai/m",
    dataset="d@v1",
    dataset_digest="sha256:d",
    split="all",
    suite="smoke",
    suite_digest="sha256:s",
    samples=1,
)


def run(
    values: Mapping[str, Sequence[float]],
    *,
    metrics: Mapping[str, MetricInfo] | None = None,
    slices: Sequence[dict[str, str]] = (),
    groups: Sequence[str] = (),
    samples: int = 1,
    **more: Any,
) -> EvalRun:
    """A run of as many items as each metric has values; of several samples, all first ones before all second ones."""
    count = len(next(iter(values.values()))) // samples
    rows = [
        Row(
            item=f"i{n}",
            sample=sample,
            scores={name: each[sample * count + n] for name, each in values.items()},
            slices=slices[n] if slices else {},
            group=groups[n] if groups else "",
        )
        for sample in range(samples)
        for n in range(count)
    ]
    return EvalRun(
        id="run_1",
        at_ms=1,
        tried=TRIED,
        metrics=dict(metrics or {}) or {name: MetricInfo(scorer="s", kind="binary") for name in values},
        spent_usd=0.0,
        cached=0,
        rows=more.pop("rows", rows),
        **more,
    )
