"""Figures for Prometheus: those of every process of this data directory, whichever worker is asked."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from trimtab.calls.errors import error_body, status_of
from trimtab.core.errors import TrimtabError
from trimtab.providers.http import header
from trimtab.telemetry.exposition import CONTENT_TYPE, render
from trimtab.telemetry.tally_file import refresh_tally
from trimtab.telemetry.traffic_families import traffic_families

if TYPE_CHECKING:
    from trimtab.providers.http import Exchange
    from trimtab.serving.runtime import DataPlane

__all__ = ["answer_metrics"]


async def answer_metrics(exchange: Exchange, plane: DataPlane) -> None:
    """Answer with the page. Reading files takes milliseconds; the loop serves others meanwhile."""
    try:
        page = await asyncio.get_running_loop().run_in_executor(None, _page, plane)
    except TrimtabError as error:
        exchange.respond(status_of(error), error_body(error))
        return
    exchange.respond(200, page, header(b"content-type", CONTENT_TYPE))


def _page(plane: DataPlane) -> bytes:
    now_ms = plane.clock.now_ms()
    return render(traffic_families(plane.directory, refresh_tally(plane.directory, now_ms=now_ms), now_ms=now_ms))
