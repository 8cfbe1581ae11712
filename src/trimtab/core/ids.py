"""Identifiers: time-ordered ids for things that happen, SHA-256 digests for things that are."""

from __future__ import annotations

import hashlib
import os
import re

from trimtab.core.errors import InputError

__all__ = ["DIGEST_PREFIX", "check_name", "digest_of", "id_time_ms", "new_id", "short_digest"]

DIGEST_PREFIX = "sha256:"
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?")
_VARIANT = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}
_DRAWN_AT_ONCE = 256
_DIGITS = 20
_tails: list[str] = []
"""Random tails of ids, drawn ahead: one system call serves many ids. `list.pop` is atomic between threads."""
os.register_at_fork(after_in_child=_tails.clear)  # else parent and child would hand out the same ids


def new_id(prefix: str, now_ms: int) -> str:
    """Return `prefix_` and the 32 hex digits of a UUIDv7 (RFC 9562 §5.7) for the given millisecond.

    Ids of one prefix sort by time, and :func:`id_time_ms` reads the time back: a trace is found by the id alone.
    """
    try:
        tail = _tails.pop()
    except IndexError:
        tail = _draw()
    return f"{prefix}_{now_ms & 0xFFFF_FFFF_FFFF:012x}{tail}"


def _draw() -> str:
    """Refill the tails; return one: version 7, 12 random bits, variant 2, 62 random bits."""
    digits = os.urandom(_DRAWN_AT_ONCE * _DIGITS // 2).hex()
    drawn = [digits[start : start + _DIGITS] for start in range(0, len(digits), _DIGITS)]
    _tails.extend(f"7{each[:3]}{_VARIANT[each[3]]}{each[4:19]}" for each in drawn[1:])
    return f"7{drawn[0][:3]}{_VARIANT[drawn[0][3]]}{drawn[0][4:19]}"


def id_time_ms(identifier: str) -> int:
    """Return the millisecond since the Unix epoch that an id made by :func:`new_id` carries."""
    _, _, digits = identifier.rpartition("_")
    try:
        if len(digits) != 32:  # noqa: PLR2004 - a UUID has 32 hex digits
            raise ValueError  # noqa: TRY301 - one message for both ways of being wrong
        return int(digits, 16) >> 80
    except ValueError:
        raise InputError(
            "malformed_id",
            f"`{identifier}` is not a Trimtab id",
            hint="an id looks like gen_0199c0ffee... (a prefix, `_`, 32 hex digits)",
        ) from None


def digest_of(content: bytes) -> str:
    """Return `sha256:` and 64 hex digits over exact bytes."""
    return DIGEST_PREFIX + hashlib.sha256(content).hexdigest()


def short_digest(digest: str) -> str:
    """Return the first 12 hex digits, for people."""
    return digest.removeprefix(DIGEST_PREFIX)[:12]


def check_name(name: str, *, what: str) -> str:
    """Return `name` if it may name a feature, artifact, environment or team, else raise `InputError`."""
    if _NAME.fullmatch(name):
        return name
    raise InputError(
        "malformed_name",
        f"`{name}` cannot name a {what}",
        hint="use 1-64 of a-z 0-9 . _ - and begin and end with a letter or digit",
    )
