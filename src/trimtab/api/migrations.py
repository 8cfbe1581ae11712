"""Model migrations over HTTP: where they stand, and people's decisions. Their work is `trimtab migration run`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

import msgspec
from starlette.routing import Route

from trimtab.api.exchange import body_of, handler, json_answer
from trimtab.core.errors import NotFoundError
from trimtab.migration.states import StateName

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute

    from trimtab.control.migrations import MigrationDesk
    from trimtab.migration.model import MigrationOptions
    from trimtab.migration.status import MigrationStatus

__all__ = ["migration_routes"]

_STATES: tuple[StateName, ...] = get_args(StateName)


class _Start(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    source: str = msgspec.field(name="from")
    target: str = msgspec.field(name="to")
    parameters: dict[str, Any] = {}


class _Decision(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    fork: str | None = None
    reason: str = ""
    findings: list[str] = []
    to: StateName | None = None


def migration_routes(desk: MigrationDesk, options: Callable[..., MigrationOptions]) -> list[BaseRoute]:
    """Return the routes; `options` makes what a new plan goes by of what was given."""
    return _Migrations(desk, options).routes()


class _Migrations:
    def __init__(self, desk: MigrationDesk, options: Callable[..., MigrationOptions]) -> None:
        self._desk = desk
        self._options = options

    def routes(self) -> list[BaseRoute]:
        one = "/api/v1/migrations/{migration}"
        return [
            Route("/api/v1/migrations", handler(self._list), methods=["GET"]),
            Route("/api/v1/migrations", handler(self._start), methods=["POST"]),
            Route(one, handler(self._status)),
            Route(f"{one}/artifacts/{{state}}", handler(self._artifact), methods=["GET"]),
            Route(f"{one}/{{command}}", handler(self._command), methods=["POST"]),
        ]

    def _list(self, _request: Request, _body: bytes) -> Response:
        return json_answer(self._desk.migrations())

    def _start(self, request: Request, body: bytes) -> Response:
        wish = body_of(body, request.headers.get("content-type", ""), _Start)
        status = self._desk.start(wish.source, wish.target, self._options(parameters=wish.parameters))
        return json_answer(self._desk.look(status.migration.id), 201)

    def _status(self, request: Request, _body: bytes) -> Response:
        return json_answer(self._desk.status(request.path_params["migration"]))

    def _artifact(self, request: Request, _body: bytes) -> Response:
        state = request.path_params["state"]
        known: StateName | None = next((one for one in _STATES if one == state), None)
        if known is None:
            raise NotFoundError("unknown_state", f"no state `{state}`", hint=f"one of {', '.join(_STATES)}")
        fork = request.query_params.get("fork", "")
        return json_answer(self._desk.artifact(request.path_params["migration"], known, fork))

    def _command(self, request: Request, body: bytes) -> Response:
        wish = body_of(body, request.headers.get("content-type", ""), _Decision)
        return json_answer(self._decide(request.path_params["migration"], request.path_params["command"], wish))

    def _decide(self, which: str, command: str, wish: _Decision) -> MigrationStatus:
        match command:
            case "ack":
                return self._desk.acknowledge(which, fork=wish.fork, findings=wish.findings, reason=wish.reason)
            case "approve":
                return self._desk.approve(which, fork=wish.fork, reason=wish.reason)
            case "rollback":
                return self._desk.roll_back(which, fork=wish.fork, to=wish.to, reason=wish.reason)
            case "abandon":
                return self._desk.abandon(which, reason=wish.reason)
        raise NotFoundError(
            "unknown_command", f"no migration command `{command}`", hint="one of ack, approve, rollback, abandon"
        )
