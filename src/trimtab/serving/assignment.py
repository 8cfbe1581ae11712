"""Which arm a unit meets. Pure, sticky, the same in every process and language (docs/reference/assignment.md).

u = uint64(SHA-256(salt ‖ 0x1F ‖ unit)[:8], big-endian) / 2⁶⁴

A unit takes part in a rollout where its u under the salt of each band (a slot of a layer, a holdout) lies in that band.
Of those who take part, the candidate is [0, weight) and only ever grows; the matched control grows down from 1 and
gives way to the candidate where both would overlap. The separator keeps ("ab", "c") and ("a", "bc") apart; 2⁶⁴ buckets
make any weight exact.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trimtab.events import Arm
    from trimtab.serving.snapshot import Band, Challenger, RolloutRoute

__all__ = [
    "RESERVED",
    "arm_at",
    "assign",
    "bucket",
    "bucket_after",
    "challenger_at",
    "salted",
    "session_unit",
    "takes_part",
]

RESERVED: Final = "\x1f"
"""What no caller's own key may begin with: units that are no users' keys do."""

_SEPARATOR: Final = b"\x1f"
_RESOLUTION: Final = 2.0**64
_LARGEST: Final = 1.0 - 2.0**-53
_from_bytes: Final = int.from_bytes  # big-endian by default


def bucket(salt: str, unit: str) -> float:
    """Return u in [0, 1) for a unit under a salt."""
    return bucket_after(salted(salt), unit)


def salted(salt: str) -> bytes:
    """Return what is hashed before a unit's own bytes."""
    return salt.encode() + _SEPARATOR


def bucket_after(prefix: bytes, unit: str) -> float:
    """Return u in [0, 1) for a unit; `prefix` is `salted(salt)`, made once."""
    encoded = unit.encode() if unit.isascii() else unit.encode("utf-8", "surrogatepass")
    position = _from_bytes(sha256(prefix + encoded).digest()[:8]) / _RESOLUTION
    # 2**-64 * (2**64 - 1) rounds up to 1.0 in a double; the interval is half-open
    return position if position < 1.0 else _LARGEST


def session_unit(session: str) -> str:
    """Return the unit that a session is where there is no user; never equal to a user's key."""
    return f"{RESERVED}session{RESERVED}{session}"


def takes_part(bands: Iterable[Band], unit: str) -> bool:
    """Return whether a unit lies in every band."""
    return all(band.start <= bucket(band.salt, unit) < band.end for band in bands)


def assign(route: RolloutRoute, unit: str) -> tuple[Arm, bool]:
    """Return the arm of a unit and whether its request is mirrored to the candidate.

    A unit without a key cannot be sticky, so it is never experimented on: always stable, never mirrored. Nor is one
    outside the rollout's bands.
    """
    if not unit or not takes_part(route.bands, unit):
        return "stable", False
    return arm_at(route, bucket(route.salt, unit))


def arm_at(route: RolloutRoute, position: float) -> tuple[Arm, bool]:
    """Return the arm at u = `position`, and whether the request is mirrored."""
    if position < route.shadow:
        return "matched_control", True
    if position < route.weight:
        return "candidate", False
    if route.challengers and challenger_at(route, position) is not None:
        return "challenger", False
    if position >= max(route.weight, 1.0 - route.control_weight):
        return "matched_control", False
    return "stable", False


def challenger_at(route: RolloutRoute, position: float) -> Challenger | None:
    """Return the challenger that the unit at u = `position` meets, if it meets one."""
    return next((one for one in route.challengers if one.start <= position < one.end), None)
