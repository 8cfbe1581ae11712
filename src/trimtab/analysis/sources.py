"""Where a metric's scores come from, as plans say it: a scorer, what is told afterwards, or a judge with people."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from trimtab.core.durations import Duration

__all__ = ["FeedbackSpec", "JudgeSpec", "ScorerSpec"]

_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]


class ScorerSpec(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """How an output is judged: exactly one of `python`, `regex` and `jsonSchema`."""

    python: str | None = None
    """`module:function`, called with the generation; returns a number, a bool, or None for "does not apply"."""
    regex: str | None = None
    """Searched for in the output (multi-line)."""
    expect: Literal["match", "no_match"] = "match"
    json_schema: dict[str, Any] | None = None
    """JSON Schema (draft 2020-12) that the output must satisfy."""

    def __post_init__(self) -> None:
        given = [name for name in ("python", "regex", "json_schema") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError("a scorer takes exactly one of `python`, `regex` and `jsonSchema`")
        if self.python is not None and not all(self.python.partition(":")):
            raise ValueError(f"`{self.python}` is not of the form `module:function`")


class FeedbackSpec(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """A metric that is told afterwards: by users as feedback, by judges and people as scores."""

    name: _Name
    """Of the feedback or score, as it is sent: `thumbs`, `resolved`, ..."""
    within: Duration = "24h"
    """How long after a unit's window closed it may come. A unit counts when that time is over, and not before."""
    absent: Literal["ignore", 0, 1] = "ignore"
    """What counts for a unit of which nothing came by then: nothing, or this value."""


class JudgeSpec(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """A metric that a judge scores everywhere and people label here and there: the labels correct the judge."""

    score: _Name
    """Of the judge's scores, as they are sent: numbers in [0, 1]."""
    label: _Name
    """Of people's labels, as they are sent: numbers in [0, 1]. Whom they are asked about must be drawn at random."""
    within: Duration = "24h"
    """How long after a unit's window closed both may come. A unit counts when that time is over, and not before."""

    def __post_init__(self) -> None:
        if self.score == self.label:
            raise ValueError(f"`score` and `label` are both `{self.label}`: a judge cannot correct itself")
