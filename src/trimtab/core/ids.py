"""Identifiers: time-ordered ids for things that happen, SHA-256 digests for things that are."""

from __future__ import annotations

import hashlib
import os
import re

from trimtab.core.errors import InputError

__all__ = ["DIGEST_PREFIX", "check_name", "digest_of", "id_time_ms", "new_id", "short_digest"]

DIGEST_PREFIX = "sha256:"
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?")
_UUID7_VERSION = 0x7 << 76
_UUID7_VARIANT = 0x2 << 62


def new_id(prefix: str, now_ms: int) -> str:
    """Return `prefix_` and the 32 hex digits of a UUIDv7 (RFC 9562 §5.7) for the given millisecond.

    Ids of one prefix sort by time, and :func:`id_time_ms` reads the time back: a trace is found by the id alone.
    """
    random_bits = int.from_bytes(os.urandom(10), "big")
    value = (now_ms & 0xFFFF_FFFF_FFFF) << 80 | _UUID7_VERSION | (random_bits >> 68) << 64
    value |= _UUID7_VARIANT | (random_bits & 0x3FFF_FFFF_FFFF_FFFF)
    return f"{prefix}_{value:032x}"


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
