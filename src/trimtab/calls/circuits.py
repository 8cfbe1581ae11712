"""What people are told of circuits: when a model is left alone, and when it answers again."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from trimtab.providers.resilience import Guard

__all__ = ["log_circuit"]

_log = logging.getLogger("trimtab.calls")


def log_circuit(guard: Guard, state: Literal["open", "closed"]) -> None:
    """Write a line where a circuit opens or closes; what `Guards` calls."""
    name, told = f"{guard.provider}/{guard.model}", {"provider": guard.provider, "model": guard.model}
    if state == "open":
        why = guard.breaker.last_failure
        _log.warning("%s keeps failing (last: %s): it is left alone for a while", name, why, extra=told)
    else:
        _log.info("%s answers again", name, extra=told)
