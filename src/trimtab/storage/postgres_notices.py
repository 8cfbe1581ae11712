"""Hearing of publications from Postgres: LISTEN on a connection of its own, made anew whenever it is lost.

A pooler in transaction mode swallows notifications without a word, so whoever waits looks again when time is up: then
news takes as long as that, and nothing else changes.
"""

from __future__ import annotations

import contextlib
import time
from typing import Any

import psycopg

from trimtab.storage.postgres import parsed_url
from trimtab.storage.sql_nodes import SNAPSHOT_CHANNEL

__all__ = ["PostgresNotices"]

_OPTIONS: dict[str, Any] = {
    "connect_timeout": 5,
    "application_name": "trimtab-listen",
    "keepalives_idle": 30,
    "keepalives_count": 3,
}


class PostgresNotices:
    """A `control.feed.Notices`. Used by one thread."""

    def __init__(self, url: str) -> None:
        """Connects when it first waits; raises `InputError` for what is no Postgres URL."""
        self._url = parsed_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
        self._connection: psycopg.Connection[object] | None = None

    def wait(self, timeout_seconds: float) -> None:
        """Return when a snapshot may have been published, at the latest when time is up. Never raises."""
        began = time.monotonic()
        try:
            if self._connection is None:
                self._connection = psycopg.connect(self._url, autocommit=True, **_OPTIONS)
                self._connection.execute(f"LISTEN {SNAPSHOT_CHANNEL}")
                return  # what was published before nobody heard of
            for _ in self._connection.notifies(timeout=timeout_seconds, stop_after=1):
                return
        except psycopg.Error:
            self.close()
            time.sleep(max(0.0, timeout_seconds - (time.monotonic() - began)))

    def close(self) -> None:
        """Close the connection, if there is one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(psycopg.Error):
                connection.close()
