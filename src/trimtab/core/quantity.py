"""Counted things in words."""

from __future__ import annotations

__all__ = ["quantity"]


def quantity(count: int, one: str, many: str = "") -> str:
    """Return `1 item`, `2 items`, `1,000 items`; `many` where the plural takes more than an s."""
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"
