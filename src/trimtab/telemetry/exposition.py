"""Prometheus' text format 0.0.4, of values that were counted elsewhere.

A client library would count in this process; here many processes count and one tells, so all that is left is to write
it down.
https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

__all__ = ["CONTENT_TYPE", "Family", "Sample", "render"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})
_HELP_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n"})


class Sample(NamedTuple):
    """One line."""

    suffix: str
    """What follows the family's name: `_bucket`, `_sum`, `_count` of a histogram, else nothing."""
    labels: Mapping[str, str]
    value: float


class Family:
    """All series of one name. Counters' names end in `_total`."""

    def __init__(self, name: str, kind: Literal["counter", "gauge", "histogram"], help: str) -> None:  # noqa: A002 - the format's word
        self.name = name
        self.kind = kind
        self.help = help
        self.samples: list[Sample] = []

    def add(self, value: float, **labels: str) -> None:
        """Add one series."""
        self.samples.append(Sample("", labels, value))

    def add_histogram(self, bounds: Sequence[float], counts: Sequence[int], total: float, **labels: str) -> None:
        """Add one histogram: `counts` of each bucket by itself, the last of those above every bound; their `total`."""
        below = 0
        for bound, count in zip((*map(_number, bounds), "+Inf"), counts, strict=True):
            below += count
            self.samples.append(Sample("_bucket", {**labels, "le": bound}, below))
        self.samples += [Sample("_sum", labels, total), Sample("_count", labels, below)]


def render(families: Iterable[Family]) -> bytes:
    """Return the page; families without series are left out."""
    return "".join(line for family in families if family.samples for line in _lines(family)).encode()


def _lines(family: Family) -> Iterator[str]:
    yield f"# HELP {family.name} {family.help.translate(_HELP_ESCAPES)}\n"
    yield f"# TYPE {family.name} {family.kind}\n"
    for suffix, labels, value in family.samples:
        told = ",".join(f'{name}="{text.translate(_ESCAPES)}"' for name, text in labels.items())
        yield (
            f"{family.name}{suffix}{{{told}}} {_number(value)}\n"
            if told
            else f"{family.name}{suffix} {_number(value)}\n"
        )


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else repr(float(value)).replace("inf", "Inf").replace("nan", "NaN")
