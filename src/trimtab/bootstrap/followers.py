"""Who else reads the journals of a machine: whoever counts them, and whoever sends them on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trimtab.bootstrap.metrics import TallyLoop

if TYPE_CHECKING:
    from trimtab.bootstrap.otel import ExportLoop
    from trimtab.bootstrap.settings import Settings

__all__ = ["FOLLOW_SECONDS", "open_followers"]

FOLLOW_SECONDS = 1.0
"""How often they look."""


def open_followers(settings: Settings) -> dict[str, TallyLoop | ExportLoop]:
    """Open them by name, each for a thread of its own; raises `InputError` for a collector that has no address."""
    found: dict[str, TallyLoop | ExportLoop] = {"tally": TallyLoop(settings)}
    if settings.otel.endpoint:
        from trimtab.bootstrap.otel import ExportLoop

        found["otel"] = ExportLoop(settings)
    return found
