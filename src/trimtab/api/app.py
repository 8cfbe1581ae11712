"""The control plane as JSON over HTTP.

Off loopback it refuses to listen (the command sees to it), for it knows no users yet. On loopback two browser attacks
remain and are closed here: a foreign page's form (writes must be `application/json`, which forces a preflight that we
do not answer) and DNS rebinding (the Host header must be a loopback name).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from trimtab.api.evidence import EVIDENCE_QUESTIONS, EXPORT, answer, export
from trimtab.api.exchange import body_of, handler, json_answer
from trimtab.api.wishes import EvalWish
from trimtab.core.errors import InputError, NotFoundError

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.routing import BaseRoute

    from trimtab.control.plane import ControlPlane
    from trimtab.evidence.reader import EvidenceReader

__all__ = ["api_routes", "http_error"]

_DIGITS = 18
_COMMANDS = ("pause", "resume", "promote", "abort")


class _StartRollout(msgspec.Struct, forbid_unknown_fields=True):
    feature: str
    candidate: str
    environment: str | None = None
    reason: str = ""
    supersede: bool = False


class _Command(msgspec.Struct, forbid_unknown_fields=True):
    reason: str = ""


def api_routes(plane: ControlPlane, evidence: EvidenceReader) -> list[BaseRoute]:
    """Return the routes under /api/v1."""
    return _Api(plane, evidence).routes()


async def http_error(request: Request, error: Exception) -> Response:
    """Answer an unknown path or method: under /api in the shape of every other error."""
    if not isinstance(error, HTTPException):
        raise error
    if not request.url.path.startswith("/api/"):
        return PlainTextResponse(error.detail, status_code=error.status_code, headers=error.headers)
    code = error.detail.lower().replace(" ", "_")
    known = InputError(code, f"{error.detail}: {request.method} {request.url.path}", param="path")
    answer = json_answer(known.as_json(), error.status_code)
    answer.headers.update(error.headers or {})
    return answer


def _attempt(request: Request) -> int | None:
    given = request.query_params.get("attempt")
    if given is None:
        return None
    if not (given.isascii() and given.isdigit()):
        raise InputError("invalid_attempt", f"`{given}` is no number of an attempt", param="attempt")
    return int(given[:_DIGITS])


class _Api:
    def __init__(self, plane: ControlPlane, evidence: EvidenceReader) -> None:
        self._plane = plane
        self._evidence = evidence

    def routes(self) -> list[BaseRoute]:
        return [
            Route("/api/v1/running", handler(self._running)),
            Route("/api/v1/features/{feature}/releases", handler(self._releases)),
            Route("/api/v1/features/{feature}/history", handler(self._history)),
            Route("/api/v1/features/{feature}/evals", handler(self._evals), methods=["GET"]),
            Route("/api/v1/features/{feature}/evals", handler(self._record_eval), methods=["POST"]),
            Route("/api/v1/rollouts", handler(self._rollouts), methods=["GET"]),
            Route("/api/v1/rollouts", handler(self._start), methods=["POST"]),
            Route("/api/v1/rollouts/{rollout}", handler(self._rollout)),
            Route("/api/v1/rollouts/{rollout}/{command}", handler(self._command), methods=["POST"]),
            Route("/api/v1/traces/{generation}", handler(self._trace)),
            Route("/api/v1/evidence/{question}", handler(self._ask)),
            Route("/api/v1/audit", handler(self._audit)),
        ]

    def _running(self, request: Request, _body_bytes: bytes) -> Response:
        return json_answer(self._plane.running(request.query_params.get("feature")))

    def _rollouts(self, request: Request, _body_bytes: bytes) -> Response:
        return json_answer(self._plane.rollouts(request.query_params.get("feature")))

    def _rollout(self, request: Request, _body_bytes: bytes) -> Response:
        return json_answer(self._plane.explain(request.path_params["rollout"], attempt=_attempt(request)))

    def _start(self, request: Request, body: bytes) -> Response:
        wish = body_of(body, request.headers.get("content-type", ""), _StartRollout)
        return json_answer(
            self._plane.start_rollout(
                wish.feature,
                wish.candidate,
                environment=wish.environment,
                reason=wish.reason,
                supersede=wish.supersede,
            ),
            201,
        )

    def _command(self, request: Request, body: bytes) -> Response:
        name = request.path_params["command"]
        if name not in _COMMANDS:
            known = ", ".join(_COMMANDS)
            raise NotFoundError("unknown_command", f"no rollout command `{name}`", hint=f"one of {known}")
        wish = body_of(body, request.headers.get("content-type", ""), _Command)
        if name == "promote" and not wish.reason.strip():
            raise InputError(
                "missing_reason",
                "who promotes past the evidence says why: it stands in the audit log",
                param="reason",
                hint='{"reason": "..."}',
            )
        return json_answer(self._plane.command_rollout(request.path_params["rollout"], name, reason=wish.reason))

    def _releases(self, request: Request, _body_bytes: bytes) -> Response:
        return json_answer(self._plane.releases(request.path_params["feature"]))

    def _evals(self, request: Request, _body_bytes: bytes) -> Response:
        return json_answer(
            self._plane.eval_results(request.path_params["feature"], request.query_params.get("release"))
        )

    def _record_eval(self, request: Request, body: bytes) -> Response:
        wish = body_of(body, request.headers.get("content-type", ""), EvalWish)
        feature, outcome = request.path_params["feature"], wish.outcome()
        result = self._plane.record_eval(feature, wish.release, wish.suite, outcome, dataset=wish.dataset)
        return json_answer(result, 201)

    def _history(self, request: Request, _body_bytes: bytes) -> Response:
        environment = request.query_params.get("environment")
        return json_answer(self._plane.pointer_history(request.path_params["feature"], environment))

    def _trace(self, request: Request, _body_bytes: bytes) -> Response:
        return json_answer(self._plane.trace(request.path_params["generation"]))

    def _ask(self, request: Request, _body_bytes: bytes) -> Response:
        question = request.path_params["question"]
        if question == EXPORT:
            lines = export(self._evidence, request.query_params, environment=self._plane.environment)
            return StreamingResponse(lines, media_type="application/x-ndjson")
        if question not in EVIDENCE_QUESTIONS:
            known = ", ".join((*EVIDENCE_QUESTIONS, EXPORT))
            raise NotFoundError("unknown_question", f"no question `{question}`", hint=f"one of {known}")
        environment = self._plane.environment
        return json_answer(answer(self._evidence, question, request.query_params, environment=environment))

    def _audit(self, _request: Request, _body_bytes: bytes) -> Response:
        entries, broken = self._plane.audit()
        return json_answer({"entries": entries, "broken": broken})
