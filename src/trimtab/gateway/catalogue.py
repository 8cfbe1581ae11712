"""Features as OpenAI models, and how the process fares."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import unquote

import msgspec

from trimtab.calls.errors import error_body
from trimtab.core.errors import NotFoundError
from trimtab.gateway.admission import MODEL_PATH

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from trimtab.calls.mirror import MirrorQueue
    from trimtab.providers.http import Exchange
    from trimtab.providers.resilience import Guards
    from trimtab.serving.limits import TeamLimits, TeamMeter
    from trimtab.serving.runtime import DataPlane
    from trimtab.serving.shadow_budget import ShadowBudgets

__all__ = ["answer_health", "answer_models", "answer_ready", "condition", "health"]

_SECONDS = 1e-9


class _Application(Protocol):
    """What a process's calls share."""

    plane: DataPlane
    mirrors: MirrorQueue
    guards: Guards
    limits: TeamLimits
    shadow_budgets: ShadowBudgets


def answer_models(exchange: Exchange, plane: DataPlane) -> None:
    """Answer with every feature, or the one that the path names."""
    models = _models(plane)
    path = exchange.request.path
    if not path.startswith(MODEL_PATH):
        exchange.respond(200, msgspec.json.encode({"object": "list", "data": list(models.values())}))
        return
    name = unquote(path.removeprefix(MODEL_PATH))
    if name in models:
        exchange.respond(200, msgspec.json.encode(models[name]))
        return
    close = difflib.get_close_matches(name, models, n=1)
    hint = f"did you mean `{close[0]}`?" if close else "GET /v1/models lists them"
    error = NotFoundError("model_not_found", f"there is no feature `{name}`", param="model", hint=hint)
    exchange.respond(404, error_body(error))


def answer_health(exchange: Exchange, told: Mapping[str, Any]) -> None:
    """Answer 200: the process lives. `told` is what else the caller may know."""
    exchange.respond(200, msgspec.json.encode({"status": "ok", **told}))


def answer_ready(exchange: Exchange, plane: DataPlane, told: Mapping[str, Any], *, draining: bool) -> None:
    """Answer 200 where requests can be served now, 503 with the reason where not; `told` as in `answer_health`.

    Where an earlier snapshot is served, why the newest is not stands beside it, for all to see: keys or none.
    """
    status, code = "ready", 200
    refused = plane.health()["snapshot_refused"]
    if plane.table is None:
        status, code = refused or "no_snapshot", 503
    if draining:
        status, code = "draining", 503
    why = {"snapshot_refused": refused} if refused else {}
    exchange.respond(code, msgspec.json.encode({"status": status, **why, **told}))


def health(application: _Application) -> dict[str, Any]:
    """Return how well the process, the models and the teams fare."""
    plane = application.plane
    now_ms = plane.clock.now_ms()
    return {
        **condition(plane, application.mirrors),
        "models": _models_health(plane, application.guards),
        "limits": _used(application.limits.meters, now_ms),
        "shadow_limits": _used(application.shadow_budgets.meters, now_ms),
    }


def _used(meters: Sequence[TeamMeter], now_ms: int) -> list[dict[str, Any]]:
    return [{"team": m.team, "spent_usd_today": m.spent_usd(now_ms), "problem": m.problem} for m in meters]


def condition(plane: DataPlane, mirrors: MirrorQueue) -> dict[str, Any]:
    """Return how well the process fares."""
    return {
        **plane.health(),
        "mirrors": {"sent": mirrors.sent, "pending": mirrors.pending, "dropped": mirrors.dropped},
    }


def _models(plane: DataPlane) -> dict[str, dict[str, Any]]:
    table = plane.table
    if table is None:
        return {}
    created = table.snapshot.published_at_ms // 1000
    return {
        feature: {
            "id": feature,
            "object": "model",
            "created": created,
            "owned_by": (route.team if (route := table.route(feature)) else "") or "trimtab",
        }
        for feature in table.features
    }


def _models_health(plane: DataPlane, guards: Guards) -> list[dict[str, Any]]:
    """Every model that was called since the process began, and how it fares."""
    return [
        {
            "provider": one.provider,
            "model": one.model,
            **one.breaker._asdict(),
            "seconds_left": round(one.breaker.seconds_left, 3),
            "retries": one.retries,
            "retries_refused": one.retries_refused,
        }
        for one in guards.health(plane.clock.monotonic_ns() * _SECONDS)
    ]
