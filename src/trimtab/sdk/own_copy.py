"""Copies of what an application goes on using."""

from __future__ import annotations

import copy
from typing import Any

__all__ = ["own_copy"]


def own_copy(value: Any) -> Any:  # noqa: ANN401 - the application's own
    """Return a copy that the application cannot change, but for parts of which there is none: a lock, a generator.

    Those have no JSON form either: who encodes it leaves them out. Raises nothing.
    """
    try:
        return copy.deepcopy(value)
    except Exception:  # noqa: BLE001, S110 - the application's own objects may raise anything
        pass
    try:
        if isinstance(value, list | tuple):
            return [own_copy(item) for item in value]
        if isinstance(value, dict):
            return {name: own_copy(item) for name, item in value.items()}
    except Exception:  # noqa: BLE001, S110 - as above; or it is nested too deeply
        pass
    return value
