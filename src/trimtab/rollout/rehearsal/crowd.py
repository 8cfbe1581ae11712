"""Who comes, and how often."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

import msgspec

from trimtab.analysis.ledger import MAX_PER_WINDOW
from trimtab.core.errors import InputError

if TYPE_CHECKING:
    import random

__all__ = ["Crowd", "parse_traffic"]

_SECONDS = {"s": 1, "sec": 1, "second": 1, "m": 60, "min": 60, "minute": 60, "h": 3600, "hour": 3600, "d": 86400,
            "day": 86400, "w": 604800, "week": 604800}  # fmt: skip
_RATE = re.compile(r"\s*([0-9][0-9_,]*(?:\.[0-9]+)?)\s*(k|m)?\s*(?:/|per)\s*([a-z]+)\s*", re.IGNORECASE)
_FACTORS = {"": 1.0, "k": 1e3, "m": 1e6}
_MOST_PER_SECOND = 1e9


class Crowd(msgspec.Struct, frozen=True, kw_only=True):
    """Users who each come again and again, Poisson in time; a visit is one or more requests.

    A user counts once per rollout and phase: the fewer users there are, the sooner nobody new is left.
    """

    requests_per_second: float
    requests_per_visit: float = 2.0
    """Mean; a visit has one request at least. All of a visit falls into one window."""
    users: int
    """How many users there are."""

    @property
    def visits_per_user_second(self) -> float:
        """How often each user comes."""
        return self.requests_per_second / self.requests_per_visit / self.users

    def requests_in_window(self, draw: random.Random, window_seconds: float) -> int:
        """Return how many requests a window has: those of the visit that opens it, and of all that follow in it."""
        requests = self._requests(draw)
        rate = self.visits_per_user_second
        after = draw.expovariate(rate)
        while after < window_seconds and requests < MAX_PER_WINDOW:
            requests += self._requests(draw)
            after += draw.expovariate(rate)
        return min(requests, MAX_PER_WINDOW)

    def _requests(self, draw: random.Random) -> int:
        """Return how many requests a visit has: one, and another with the same chance every time."""
        again = 1.0 - 1.0 / self.requests_per_visit
        requests = 1
        while again > 0 and draw.random() < again:
            requests += 1
        return requests


def parse_traffic(text: str) -> float:
    """Return requests per second of `10000/day`, `1.5k/hour` or `20/s`; raises `InputError`."""
    match = _RATE.fullmatch(text)
    unit = match[3].lower() if match else ""
    unit = unit.removesuffix("s") if len(unit) > 1 else unit
    if match is None or unit not in _SECONDS:
        amount = text.strip()
        bare = re.fullmatch(r"[0-9][0-9_,.]*[kKmM]?", amount) is not None
        raise InputError(
            "invalid_traffic",
            f"`{text}` is no rate of requests" + (": per what?" if bare else ""),
            param="traffic",
            hint=f"write {amount}/day or {amount}/hour" if bare else "write 10000/day, 1.5k/hour or 20/s",
        )
    rate = float(re.sub("[_,]", "", match[1])) * _FACTORS[(match[2] or "").lower()] / _SECONDS[unit]
    if not 0 < rate <= _MOST_PER_SECOND or math.isinf(rate):
        raise InputError(
            "invalid_traffic",
            f"`{text}`: " + ("nobody comes, so nothing can be rehearsed" if rate <= 0 else "no feature has that much"),
            param="traffic",
            hint="write 10000/day, 1.5k/hour or 20/s",
        )
    return rate
