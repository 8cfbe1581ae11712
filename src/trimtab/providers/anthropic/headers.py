"""The header lines that every call of the Messages API carries."""

from __future__ import annotations

from trimtab.providers.http.message import header

__all__ = ["API_VERSION", "headers"]

API_VERSION = "2023-06-01"
"""The version of the API whose shapes this package knows."""


def headers(api_key: str) -> bytes:
    """Return `x-api-key` (left out where the key is empty) and `anthropic-version`, each line ending in CRLF."""
    key = header(b"x-api-key", api_key) if api_key else b""
    return key + header(b"anthropic-version", API_VERSION)
