"""Routes: from a path to whoever answers it."""

from __future__ import annotations

import asyncio
import logging
import random
from typing import TYPE_CHECKING

from trimtab.calls import Plans
from trimtab.calls.circuits import log_circuit
from trimtab.calls.errors import error_body, internal_error, refusal_body
from trimtab.calls.mirror import MirrorQueue
from trimtab.calls.short import Ways
from trimtab.gateway.admission import Admission
from trimtab.gateway.catalogue import answer_health, answer_models, answer_ready, condition, health
from trimtab.gateway.config import may_be_open
from trimtab.gateway.express import express_lane
from trimtab.gateway.feedback import answer_feedback
from trimtab.gateway.metrics import answer_metrics
from trimtab.gateway.start import start_call
from trimtab.providers.http.message import JSON_CONTENT
from trimtab.providers.resilience import Guards
from trimtab.serving.limits import TeamLimits
from trimtab.serving.shadow_budget import ShadowBudgets

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from trimtab.calls import Format, Upstreams
    from trimtab.core.clock import Clock
    from trimtab.gateway.config import GatewayConfig
    from trimtab.providers.http import Exchange, Refusal, Request
    from trimtab.providers.http.lane import Lane
    from trimtab.serving.runtime import DataPlane

__all__ = ["GatewayApplication"]

_FORMATS: dict[bytes, Format] = {
    b"/v1/chat/completions": "chat",
    b"/v1/embeddings": "embeddings",
    b"/v1/messages": "messages",
    b"/v1/responses": "responses",
}
_log = logging.getLogger("trimtab.gateway")


class GatewayApplication:
    """The gateway as an HTTP application; also what its calls share."""

    def __init__(self, config: GatewayConfig, plane: DataPlane, upstreams: Upstreams) -> None:
        self.config = config
        self.plane = plane
        self.guards = Guards(config.retry, config.breaker, random.random, log_circuit)
        self.plans = Plans(upstreams, self.guards, plane.clock)
        self.clock: Clock = plane.clock
        self.limits = TeamLimits(config.limits, plane.directory.usage)
        self.mirrors = MirrorQueue(concurrency=config.mirror_concurrency, waiting=config.mirror_queue)
        self.shadow_budgets = ShadowBudgets(plane.directory.usage, config.shadow_limits)
        self.draining = False
        self._admission = Admission(
            plane, always_key=not may_be_open(config), trust_network=config.trust_network, metrics=config.metrics
        )
        self.admit: Callable[[Request], Refusal | None] = self._admission.judge
        """Judge a request by its head."""
        self.ways: Mapping[Format, Ways] = {
            format: Ways(self.plans, plane, format, most_bytes=config.max_answer_bytes)
            for format in set(_FORMATS.values())  # noqa: A001 - the field's word
        }
        self._tasks: set[asyncio.Task[None]] = set()

    def refuse(self, exchange: Exchange, refusal: Refusal) -> None:
        """Say why, in OpenAI's shape."""
        format = _FORMATS.get(exchange.request.path, "chat")  # noqa: A001 - the field's word
        exchange.respond(refusal.status, refusal_body(refusal, format), JSON_CONTENT + refusal.headers)

    def handle(self, exchange: Exchange) -> None:
        """Answer; a defect of ours is a 500 with its trace in the log, and the connection goes on."""
        format = _FORMATS.get(exchange.request.path)  # noqa: A001 - the field's word
        try:
            if format is not None:
                start_call(self, self.limits, exchange, format)
            else:
                self._route(exchange)
        except Exception as error:  # noqa: BLE001 - a surface: one request must not take the others down
            told = {"method": exchange.request.method.decode(), "path": exchange.request.path.decode(errors="replace")}
            _log.exception("a request failed in the gateway itself", extra=told)
            exchange.respond(500, error_body(internal_error(error)))

    def lane_of(self, request: Request) -> Lane | None:
        """Return what takes requests whose head is like this one's on the short way (see `gateway.express`)."""
        format = _FORMATS.get(request.path)  # noqa: A001 - the field's word
        return None if format is None else express_lane(self, request, format)

    def _route(self, exchange: Exchange) -> None:
        match exchange.request.path:
            case b"/v1/feedback":
                self._spawn(answer_feedback(exchange, self.plane, self.clock))
            case b"/metrics":
                self._spawn(answer_metrics(exchange, self.plane))
            case b"/healthz":
                told = health(self) if self._tells(exchange) else {}
                answer_health(exchange, told)
            case b"/readyz":
                told = condition(self.plane, self.mirrors) if self._tells(exchange) else {}
                answer_ready(exchange, self.plane, told, draining=self.draining)
            case _:
                answer_models(exchange, self.plane)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _tells(self, exchange: Exchange) -> bool:
        return self._admission.sees_all(exchange.request)
