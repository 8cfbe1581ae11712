"""Is it alive, is it ready, and its figures: what orchestrators and monitoring ask of a server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.routing import Route

from trimtab.api.metrics import metrics_page
from trimtab.telemetry.exposition import CONTENT_TYPE

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request
    from starlette.routing import BaseRoute

    from trimtab.api.condition import ServerCondition
    from trimtab.telemetry.access import MetricsAccess

__all__ = ["probe_routes"]


def probe_routes(condition: ServerCondition, metrics: MetricsAccess) -> list[BaseRoute]:
    """Return `/healthz`, `/readyz` and `/metrics`."""

    def health(_request: Request) -> Response:
        stuck = condition.stuck()
        if stuck:
            return _json({"status": "stuck", "loops": stuck}, 503)
        return _json({"status": "ok"}, 200)

    def ready(_request: Request) -> Response:
        checks = condition.checks()
        failed = any(check.status == "fail" for check in checks.values())
        return _json({"status": "not_ready" if failed else "ready", "checks": checks}, 503 if failed else 200)

    def figures(request: Request) -> Response:
        if metrics.admits(request.headers.get("authorization", "")) is False:
            return Response(status_code=401, headers={"www-authenticate": "Bearer"})
        return Response(metrics_page(condition), headers={"content-type": CONTENT_TYPE})

    return [
        Route("/healthz", _threaded(health)),
        Route("/readyz", _threaded(ready)),
        Route("/metrics", _threaded(figures)),
    ]


def _json(value: Any, status: int) -> Response:  # noqa: ANN401 - any JSON value
    return Response(msgspec.json.encode(value), status_code=status, media_type="application/json")


def _threaded(answer: Callable[[Request], Response]) -> Callable[[Request], Any]:
    async def endpoint(request: Request) -> Response:
        return await run_in_threadpool(answer, request)

    return endpoint
