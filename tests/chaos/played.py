"""A thread of the harness itself: what goes wrong in it is told, for a harness that is silent proves nothing."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Played"]


class Played:
    """Runs a function beside the others."""

    def __init__(self, function: Callable[..., object], *arguments: Any) -> None:
        self._error: Exception | None = None

        def run() -> None:
            try:
                function(*arguments)
            except Exception as error:  # noqa: BLE001 - raised by `ended`
                self._error = error

        self._thread = threading.Thread(target=run, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def ended(self, timeout_seconds: float | None) -> bool:
        """Wait, and return whether it has ended; raises what it raised."""
        self._thread.join(timeout_seconds)
        if self._error is not None:
            raise self._error
        return not self._thread.is_alive()
