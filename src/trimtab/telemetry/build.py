"""Which Trimtab this is."""

from __future__ import annotations

import functools

__all__ = ["version"]


@functools.cache
def version() -> str:
    """Return the version that is installed; reading it takes milliseconds, once."""
    from importlib import metadata

    return metadata.version("trimtab")
