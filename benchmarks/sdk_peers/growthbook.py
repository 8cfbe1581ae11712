"""GrowthBook: a feature with a 90/10 experiment, hashed by unit, evaluated locally; no prompt, nothing recorded."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["NAME", "open_case"]

NAME = "GrowthBook: evaluate an experiment"
_FEATURES = {
    "support-reply": {
        "defaultValue": "support-reply#1",
        "rules": [
            {
                "key": "rol_1",
                "seed": "s",
                "hashAttribute": "id",
                "coverage": 1,
                "weights": [0.9, 0.1],
                "variations": ["support-reply#1", "support-reply#2"],
            }
        ],
    }
}


@contextlib.contextmanager
def open_case() -> Iterator[Callable[[str], object]]:
    """Evaluate the feature for a unit; raises `ModuleNotFoundError` where the SDK is not installed."""
    from growthbook import GrowthBook

    client = GrowthBook(features=_FEATURES, attributes={"id": "nobody"})

    def evaluate(unit: str) -> object:
        client.set_attributes({"id": unit})
        return client.get_feature_value("support-reply", "")

    try:
        yield evaluate
    finally:
        client.destroy()
