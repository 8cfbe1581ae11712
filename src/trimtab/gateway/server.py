"""The gateway process: listens, serves, drains."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
import time
from typing import TYPE_CHECKING

from trimtab.calls import Upstreams
from trimtab.gateway.application import GatewayApplication
from trimtab.gateway.config import GatewayConfig, check_bind
from trimtab.providers.http import ClientLimits, HttpServer, ServerLimits

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Callable, Mapping

    from trimtab.gateway.workers.worker import WorkerLink
    from trimtab.providers.endpoint import Endpoint
    from trimtab.serving.runtime import DataPlane

__all__ = ["Gateway", "run", "serve"]

_log = logging.getLogger("trimtab.gateway")
_GC_THRESHOLDS = (50_000, 50, 50)
_MIRROR_POLL_SECONDS = 0.02
_TICK_SECONDS = 1.0


class Gateway:
    """A gateway inside a running loop: `start`, then `stop`."""

    def __init__(
        self,
        config: GatewayConfig,
        data_plane: DataPlane,
        upstreams: Mapping[str, Endpoint],
        *,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """`tls` replaces the verifying context towards upstreams (private certificate authorities)."""
        self._config = config
        self._plane = data_plane
        self._ticker: asyncio.TimerHandle | None = None
        self._upstreams = Upstreams(
            upstreams,
            ClientLimits(
                connect_seconds=config.connect_timeout_seconds,
                read_seconds=config.silence_timeout_seconds,
                total_seconds=config.upstream_timeout_seconds,
                max_connections=config.max_upstream_connections,
            ),
            tls=tls,
        )
        self.application = GatewayApplication(config, data_plane, self._upstreams)
        limits = ServerLimits(
            max_body_bytes=config.max_body_bytes,
            max_head_bytes=config.max_head_bytes,
            request_seconds=config.request_seconds,
            idle_seconds=config.idle_seconds,
        )
        self._server = HttpServer(self.application, limits, lane_of=self.application.lane_of)

    async def start(self, listening: socket.socket | None = None) -> tuple[str, int]:
        """Listen, or serve on a socket that listens already; returns the address.

        Raises `InputError` (`unauthenticated_listener`) off loopback without keys, `OSError` where the port is taken.
        """
        check_bind(self._config, has_keys=self._plane.asks_for_keys)
        config = self._config
        self._tick()
        return await self._server.start(config.host, config.port, reuse_port=config.reuse_port, listening=listening)

    def _tick(self) -> None:
        """Show the other processes that this one's requests in flight are still being answered."""
        for meter in self.application.limits.meters:
            meter.tick(self._plane.clock.now_ms())
        self.application.shadow_budgets.tick(self._plane.clock.now_ms())
        self._ticker = asyncio.get_running_loop().call_later(_TICK_SECONDS, self._tick)

    async def stop(self) -> int:
        """Drain: accept nothing, finish what was begun (mirrors too) within `drain_seconds`, make the journal durable.

        Returns how many requests were cut off. The data plane stays open: whoever opened it closes it.
        """
        deadline = time.monotonic() + self._config.drain_seconds
        self.application.draining = True
        cut = await self._server.drain(self._config.drain_seconds, idle_seconds=self._config.drain_idle_seconds)
        mirrors = self.application.mirrors
        while mirrors.pending and time.monotonic() < deadline:  # noqa: ASYNC110 - bounded
            await asyncio.sleep(_MIRROR_POLL_SECONDS)
        mirrors.abandon()
        if self._ticker is not None:
            self._ticker.cancel()
        self.application.limits.close()
        self.application.shadow_budgets.close()
        await self._upstreams.close()
        await asyncio.get_running_loop().run_in_executor(None, self._plane.flush)
        return cut


async def serve(
    config: GatewayConfig,
    data_plane: DataPlane,
    upstreams: Mapping[str, Endpoint],
    *,
    on_ready: Callable[[str, int], None] | None = None,
    tls: ssl.SSLContext | None = None,
    link: WorkerLink | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT, then drain; `on_ready` is told the address. Raises as `Gateway.start`.

    `link`: that of a worker to its supervisor, whose end drains it too.
    """
    gateway = Gateway(config, data_plane, upstreams, tls=tls)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        with contextlib.suppress(NotImplementedError, ValueError, RuntimeError):  # not the main thread
            loop.add_signal_handler(name, stop.set)
    host, port = await gateway.start(link.socket() if link else None)
    # What was made so far lives as long as the process: the collector need not look at it again.
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)
    if link is not None:
        link.watch(stop.set)
        link.say_ready()
    if on_ready is not None:
        on_ready(host, port)
    await stop.wait()
    cut = await gateway.stop()
    if cut:
        _log.warning("%d requests were cut off after %g s", cut, config.drain_seconds)


def run(
    config: GatewayConfig,
    data_plane: DataPlane,
    upstreams: Mapping[str, Endpoint],
    *,
    on_ready: Callable[[str, int], None] | None = None,
    link: WorkerLink | None = None,
) -> None:
    """`serve` on a uvloop of its own."""
    import uvloop

    uvloop.run(serve(config, data_plane, upstreams, on_ready=on_ready, link=link))
