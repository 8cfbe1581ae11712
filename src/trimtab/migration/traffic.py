"""What recorded calls tell: who called a model, and what judges and people said of its answers."""

from __future__ import annotations

import msgspec

__all__ = ["JudgedAnswer", "TrafficRow"]


class TrafficRow(msgspec.Struct, frozen=True, kw_only=True):
    """Calls to one model that were recorded, summed by who made them."""

    feature: str
    release: str
    """Digest."""
    release_number: int
    served_model: str
    arm: str
    team: str
    process: str
    calls: int
    errors: int
    input_tokens: int
    largest_input_tokens: int
    output_tokens: int
    cost_usd: float
    last_ms: int


class JudgedAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """An answer that a judge and a person scored, both in [0, 1]."""

    generation: str
    judge: str
    """Who judged, `judge:MODEL` where the score says so; empty where nobody said."""
    score: float
    label: float
