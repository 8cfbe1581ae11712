"""The console's pages. Read-only: what changes state goes through the API or the command line."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import minijinja
from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, RedirectResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from trimtab.analysis.words import odds
from trimtab.core.errors import TrimtabError
from trimtab.core.ids import short_digest
from trimtab.migration.states import STATES

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute

    from trimtab.control.migrations import MigrationDesk
    from trimtab.control.plane import ControlPlane
    from trimtab.control.rollout_reports import MetricStatus

__all__ = ["console_routes"]

_CODE = re.compile(r"`([^`]+)`")
_COMMAND = re.compile(r"\btrimtab \w[^;]*")
_HERE = Path(__file__).parent
_UNITS = {"latency": "ms", "tokens": "output tokens", "cost": "US dollars", "length": "characters"}


def _score(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _percent(value: float) -> str:
    return f"{value:.1%}".replace(".0%", "%")


def _number(release: str) -> str:
    """Return the number of `feature#number`."""
    return release.rpartition("#")[2]


def _prose(text: str) -> minijinja.Markup:
    """Return text with what stands between backticks as code."""
    return minijinja.Markup(_CODE.sub(r"<code>\1</code>", str(minijinja.escape(text))))


def _commands(text: str) -> minijinja.Markup:
    """Return text with the commands in it as code: from `trimtab` to a semicolon or the end."""
    return minijinja.Markup(_COMMAND.sub(r"<code>\g<0></code>", str(minijinja.escape(text))))


def _points(value: float) -> str:
    """Format a difference of scores in points: `+0.3`, `-12`."""
    number = 100 * value + 0.0
    return f"{number:+.0f}" if abs(number) >= 10 else f"{number:+.1f}"  # noqa: PLR2004 - two digits suffice


def _interval(metric: MetricStatus) -> minijinja.Markup:
    """Draw where candidate minus control lies: a bar over the range from -s to +s, zero in its middle."""
    between = metric.difference
    if between is None:
        return minijinja.Markup("")
    reach = max(abs(between.low), abs(between.high), 2 * metric.margin)

    def at(value: float) -> str:
        return f"{50 + 50 * value / reach:.1f}"

    bad, low, high = at(-metric.margin), at(between.low), at(between.high)
    return minijinja.Markup(
        f'<svg class="interval" viewBox="0 0 100 12" preserveAspectRatio="none" role="img" aria-hidden="true">'
        f'<rect class="worse" x="0" y="0" width="{bad}" height="12"/>'
        f'<line class="zero" x1="50" y1="0" x2="50" y2="12"/>'
        f'<rect class="span" x="{low}" y="4" width="{max(1.0, float(high) - float(low)):.1f}" height="4"/></svg>'
    )


def _short_id(identifier: str) -> str:
    """Return the first and last digits of an id: those in the middle are the same for all of one hour."""
    return f"{identifier[:8]}…{identifier[-6:]}" if len(identifier) > 16 else identifier  # noqa: PLR2004 - shorter is whole


def _when(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _templates() -> minijinja.Environment:
    return minijinja.Environment(
        loader=lambda name: (_HERE / "templates" / name).read_text(),
        filters={
            "interval": _interval,
            "odds": odds,
            "commands": _commands,
            "prose": _prose,
            "count": "{:,}".format,
            "money": "${:,.2f}".format,
            "points": _points,
            "short_id": _short_id,
            "score": _score,
            "percent": _percent,
            "when": _when,
            "short": short_digest,
            "number": _number,
        },
        auto_escape_callback=lambda _name: "html",
    )


def console_routes(plane: ControlPlane, migrations: MigrationDesk) -> list[BaseRoute]:
    """Return the routes of the console over a control plane."""
    return _Console(plane, migrations).routes()


class _Console:
    def __init__(self, plane: ControlPlane, migrations: MigrationDesk) -> None:
        self._plane = plane
        self._migrations = migrations
        self._templates = _templates()

    def routes(self) -> list[BaseRoute]:
        return [
            Route("/", self._handler(self._running)),
            Route("/rollouts", self._handler(self._rollouts)),
            Route("/rollouts/{rollout}", self._handler(self._rollout)),
            Route("/migrations", self._handler(self._all_migrations)),
            Route("/migrations/{migration}", self._handler(self._migration)),
            Route("/trace", self._handler(self._find_trace)),
            Route("/trace/{generation:path}", self._handler(self._trace)),
            Route("/audit", self._handler(self._audit)),
            Mount("/static", StaticFiles(directory=_HERE / "static")),
        ]

    def _page(self, template: str, *, live: bool = False, status: int = 200, **values: Any) -> HTMLResponse:  # noqa: ANN401 - template values
        environment = self._plane.environment
        text = self._templates.render_template(template, environment=environment, live=live, **values)
        return HTMLResponse(text, status_code=status)

    def _handler(self, answer: Callable[[Request], Response]) -> Callable[[Request], Any]:
        async def endpoint(request: Request) -> Response:
            try:
                return await run_in_threadpool(answer, request)
            except TrimtabError as error:
                return self._page("error.html", error=error, status=error.http_status)

        return endpoint

    def _running(self, _request: Request) -> Response:
        return self._page("running.html", live=True, report=self._plane.running())

    def _rollouts(self, _request: Request) -> Response:
        return self._page("rollouts.html", live=True, rollouts=self._plane.rollouts())

    def _rollout(self, request: Request) -> Response:
        report = self._plane.explain(request.path_params["rollout"])
        return self._page("rollout.html", live=report.rollout.ended_at_ms is None, report=report)

    def _all_migrations(self, _request: Request) -> Response:
        return self._page("migrations.html", live=True, migrations=self._migrations.migrations())

    def _migration(self, request: Request) -> Response:
        story = self._migrations.story(request.path_params["migration"])
        live = story.status.migration.status == "live"
        return self._page("migration.html", live=live, story=story, states=STATES)

    def _find_trace(self, request: Request) -> Response:
        return RedirectResponse(f"/trace/{quote(request.query_params.get('id', '').strip(), safe='')}")

    def _trace(self, request: Request) -> Response:
        report = self._plane.trace(request.path_params["generation"])
        return self._page("trace.html", report=report, generation=report.generation, units=_UNITS)

    def _audit(self, _request: Request) -> Response:
        entries, broken = self._plane.audit()
        return self._page("audit.html", entries=entries[::-1][:500], broken=broken)
