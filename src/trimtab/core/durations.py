"""Durations as people write them."""

from __future__ import annotations

import re
from typing import Annotated

import msgspec

from trimtab.core.errors import InputError

__all__ = ["DURATION_PATTERN", "Duration", "seconds"]

DURATION_PATTERN = r"^[0-9]+(\.[0-9]+)?(ms|s|m|h|d)$"
Duration = Annotated[str, msgspec.Meta(pattern=DURATION_PATTERN, description="A number and ms, s, m, h or d.")]
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def seconds(duration: str) -> float:
    """Return the seconds of a duration such as `90s`, `5m` or `1.5h`; raises `InputError`."""
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)", duration)
    if match is None:
        raise InputError("malformed_duration", f"`{duration}` is not a duration", hint="write 10s, 5m, 2h or 1d")
    return float(match[1]) * _SECONDS[match[2]]
