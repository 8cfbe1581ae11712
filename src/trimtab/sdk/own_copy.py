"""Copies of what an application goes on using."""

from __future__ import annotations

import copy
from typing import Any

__all__ = ["own_copy"]


def own_copy(value: Any) -> Any:  # noqa: ANN401 - the application's own
    """Return a copy that the application cannot change; the thing itself where there is none.

    What cannot be copied (a lock, a generator) has no JSON form either: who encodes it leaves it out.
    """
    if type(value) is list and all(_is_flat(item) for item in value):
        return [item.copy() for item in value]
    if _is_flat(value):
        return value.copy()
    try:
        return copy.deepcopy(value)
    except Exception:  # noqa: BLE001 - the application's own objects may raise anything
        return value.copy() if type(value) in {list, dict} else value


def _is_flat(value: Any) -> bool:  # noqa: ANN401 - as above
    return type(value) is dict and all(type(item) is str for item in value.values())
