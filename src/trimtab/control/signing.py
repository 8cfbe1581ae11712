"""Signatures by which a receiver knows who sent a message and that it is fresh: Standard Webhooks, symmetric.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import hashlib
import hmac

from trimtab.core.errors import InputError

__all__ = ["secret_key", "signed_headers"]

_PREFIX = "whsec_"
_SHORTEST_BYTES = 24
_LONGEST_BYTES = 64


def secret_key(secret: str) -> bytes:
    """Return the key in `whsec_` and base64; raises `InputError`, which does not repeat the secret."""
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except ValueError:  # not ASCII, or not base64
        key = b""
    if secret.startswith(_PREFIX) and _SHORTEST_BYTES <= len(key) <= _LONGEST_BYTES:
        return key
    raise InputError(
        "malformed_secret",
        f"no secret as Standard Webhooks has it: `whsec_` and {_SHORTEST_BYTES} to {_LONGEST_BYTES} bytes in base64",
        hint='make one: echo "whsec_$(openssl rand -base64 32)"',
    )


def signed_headers(identifier: str, body: bytes, *, key: bytes | None, now_ms: int) -> dict[str, str]:
    """Return the headers of one attempt; the id stays the same over all of them, the time is the attempt's."""
    stamp = str(now_ms // 1000)
    headers = {"webhook-id": identifier, "webhook-timestamp": stamp}
    if key is not None:
        signed = hmac.new(key, f"{identifier}.{stamp}.".encode() + body, hashlib.sha256).digest()
        headers["webhook-signature"] = "v1," + base64.b64encode(signed).decode()
    return headers
