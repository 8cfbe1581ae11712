"""Identifiers: time-ordered ids for things that happen, SHA-256 digests for things that are."""

from __future__ import annotations

import hashlib
import os
import re
from typing import Final

from trimtab.core.errors import InputError

__all__ = ["DIGEST_PREFIX", "check_name", "digest_of", "id_time_ms", "new_id", "short_digest"]

DIGEST_PREFIX: Final = "sha256:"
_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?")
_DRAWN_AT_ONCE: Final = 256
_TAIL_BYTES: Final = 10
_VERSION: Final = bytes(0x70 | byte & 0x0F for byte in range(256))
"""What becomes of a random byte that holds the version of a UUID, and of one that holds its variant."""
_VARIANT: Final = bytes(0x80 | byte & 0x3F for byte in range(256))
_tails: Final[list[str]] = []
"""Random tails of ids, drawn ahead: one system call serves many ids. `list.pop` is atomic between threads."""
os.register_at_fork(after_in_child=_tails.clear)  # else parent and child would hand out the same ids
_LOW_DIGITS: Final = tuple(f"{low:02x}" for low in range(256))
_heads: Final[list[tuple[int, str]]] = [(-1, "")]
"""The quarter of a second of the last id, and the digits that all ids made in it begin with. Replaced whole."""


def new_id(prefix: str, now_ms: int) -> str:
    """Return `prefix_` and the 32 hex digits of a UUIDv7 (RFC 9562 §5.7) for the given millisecond.

    Ids of one prefix sort by time, and :func:`id_time_ms` reads the time back: a trace is found by the id alone.
    """
    try:
        tail = _tails.pop()
    except IndexError:
        tail = _draw()
    quarter, head = _heads[0]
    if quarter != now_ms >> 8:
        quarter = now_ms >> 8
        head = f"{quarter & 0xFF_FFFF_FFFF:010x}"
        _heads[0] = quarter, head
    return f"{prefix}_{head}{_LOW_DIGITS[now_ms & 0xFF]}{tail}"


def _draw() -> str:
    """Refill the tails; return one: version 7, 12 random bits, variant 2, 62 random bits."""
    drawn = bytearray(os.urandom(_DRAWN_AT_ONCE * _TAIL_BYTES))
    drawn[0::_TAIL_BYTES] = drawn[0::_TAIL_BYTES].translate(_VERSION)
    drawn[2::_TAIL_BYTES] = drawn[2::_TAIL_BYTES].translate(_VARIANT)
    tails = drawn.hex(" ", _TAIL_BYTES).split()
    tail = tails.pop()
    _tails.extend(tails)
    return tail


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
