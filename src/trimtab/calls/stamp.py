"""The headers that say which release answered."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from trimtab.providers.http import header

if TYPE_CHECKING:
    from trimtab.serving.decision import Decision

__all__ = ["fixed_stamp", "stamp"]

_KNOWN = 1024
"""Combinations of release, arm and rollout that are kept ready."""


def stamp(decision: Decision, generation: str) -> bytes:
    """Return the `x-trimtab-*` header lines of a call."""
    return b"%sx-trimtab-generation: %s\r\n" % (fixed_stamp(decision), generation.encode())


def fixed_stamp(decision: Decision) -> bytes:
    """Return those of them that all units of one arm get."""
    release = decision.release
    return _fixed(release.label, release.digest, decision.arm, decision.rollout, decision.environment)


@functools.lru_cache(maxsize=_KNOWN)
def _fixed(label: str, digest: str, arm: str, rollout: str, environment: str) -> bytes:
    lines = [
        header(b"x-trimtab-release", label),
        header(b"x-trimtab-digest", digest),
        header(b"x-trimtab-arm", arm),
        header(b"x-trimtab-environment", environment),
    ]
    if rollout:
        lines.append(header(b"x-trimtab-rollout", rollout))
    return b"".join(lines)
