"""Who may read figures, and the loop that counts them, wired."""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING

from trimtab.core.clock import SystemClock
from trimtab.core.errors import InputError
from trimtab.telemetry.access import MetricsAccess
from trimtab.telemetry.tally_file import TallyKeeper, claim

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trimtab.bootstrap.settings import Settings

__all__ = ["TallyLoop", "metrics_access"]

_AT_ONCE = 50_000
_SHORTEST_TOKEN = 16


def metrics_access(settings: Settings, environ: Mapping[str, str] | None = None) -> MetricsAccess:
    """Return who may read `/metrics`; raises `InputError` where the token that the settings name is not there."""
    environ = os.environ if environ is None else environ
    name = settings.metrics.token_env
    token = environ.get(name, "") if name else ""
    if name and len(token) < _SHORTEST_TOKEN:
        raise InputError(
            "missing_token",
            f"the environment variable {name} holds no token of at least {_SHORTEST_TOKEN} characters",
            param="metrics.token_env",
            hint=f"export {name}=$(openssl rand -hex 24), or leave the setting out",
        )
    return MetricsAccess(open=settings.metrics.open, token=token)


class TallyLoop:
    """Counts what journals tell, ticked by whoever runs the process. Where another process does so, it stands by."""

    def __init__(self, settings: Settings) -> None:
        self._directory = settings.data_directory
        self._clock = SystemClock()
        self._held = ExitStack()
        self._keeper: TallyKeeper | None = None

    def tick(self) -> list[str]:
        """Count all that is new; returns nothing worth telling. Raises `StorageError`; the next tick starts anew."""
        finished = False
        try:
            if self._keeper is None and self._held.enter_context(claim(self._directory.telemetry / "tally.lock")):
                self._keeper = TallyKeeper(self._directory)
            while self._keeper is not None and self._keeper.catch_up(now_ms=self._clock.now_ms(), limit=_AT_ONCE):
                pass
            finished = self._keeper is not None
        finally:
            if not finished:
                self.close()
        return []

    def close(self) -> None:
        """Let another process count."""
        self._keeper = None
        self._held.close()
