"""Seeded draws: a number that depends on names alone, so that a run repeats on any machine."""

from __future__ import annotations

import hashlib
import math
import statistics

__all__ = ["latency_ms", "uniform"]

_Z95 = statistics.NormalDist().inv_cdf(0.95)
_NORMAL = statistics.NormalDist()
_SEPARATOR = "\x1f"
_TWO_64 = 2.0**64


def uniform(*names: str) -> float:
    """Return the number in (0, 1) that belongs to these names."""
    digest = hashlib.sha256(_SEPARATOR.join(names).encode("utf-8", "surrogatepass")).digest()
    return (int.from_bytes(digest[:8], "big") + 0.5) / (_TWO_64 + 1)


def latency_ms(draw: float, *, median_ms: float, p95_ms: float) -> float:
    """Return the `draw` quantile, in milliseconds, of the log-normal with this median and 95th percentile."""
    if p95_ms <= median_ms or median_ms <= 0:
        return median_ms
    sigma = math.log(p95_ms / median_ms) / _Z95
    return median_ms * math.exp(sigma * _NORMAL.inv_cdf(min(max(draw, 1e-12), 1 - 1e-12)))
