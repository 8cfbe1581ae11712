"""Canonical JSON (RFC 8785, JCS): one byte string per JSON value, so that equal content has an equal digest."""

from __future__ import annotations

from typing import Any

import msgspec

from trimtab.core.errors import InputError
from trimtab.core.ids import digest_of

__all__ = ["canonical_digest", "canonical_json"]


def canonical_json(value: Any) -> bytes:  # noqa: ANN401 - any JSON value
    """Return the RFC 8785 bytes of a JSON value or of a msgspec Struct.

    Raises `InputError` (`not_canonical`) for what JSON cannot carry exactly: NaN, infinities, integers beyond 2^53,
    lone surrogates, non-string keys.
    """
    import rfc8785  # late: data planes serve digests, they never make one

    try:
        return rfc8785.dumps(msgspec.to_builtins(value))
    except (rfc8785.CanonicalizationError, UnicodeEncodeError, TypeError) as error:
        raise InputError(
            "not_canonical",
            f"this value has no canonical JSON form: {error}",
            hint="use finite numbers, integers within ±2^53, and valid Unicode strings",
        ) from error


def canonical_digest(value: Any) -> str:  # noqa: ANN401 - any JSON value
    """Return the digest that identifies a JSON value: SHA-256 over its canonical JSON."""
    return digest_of(canonical_json(value))
