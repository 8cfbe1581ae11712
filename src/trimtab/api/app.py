"""The control plane as JSON over HTTP.

Off loopback it refuses to listen (the command sees to it), for it knows no users yet. On loopback two browser attacks
remain and are closed here: a foreign page's form (writes must be `application/json`, which forces a preflight that we
do not answer) and DNS rebinding (the Host header must be a loopback name).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from trimtab.api.evidence import EVIDENCE_QUESTIONS, answer
from trimtab.api.wishes import EvalWish
from trimtab.core.errors import InputError, NotFoundError, TrimtabError

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request
    from starlette.routing import BaseRoute

    from trimtab.control.plane import ControlPlane
    from trimtab.evidence.reader import EvidenceReader

__all__ = ["api_routes", "http_error"]

_encoder = msgspec.json.Encoder()
_T = TypeVar("_T")
_MAX_BODY_BYTES = 64 * 1024
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


def _json(value: Any, status: int = 200) -> Response:  # noqa: ANN401 - any JSON value
    return Response(_encoder.encode(value), status_code=status, media_type="application/json")


def _body(request_body: bytes, content_type: str, kind: type[_T]) -> _T:
    if content_type.split(";", maxsplit=1)[0].strip() != "application/json":
        raise InputError("not_json", "the body must be application/json", param="content-type")
    try:
        return msgspec.json.decode(request_body or b"{}", type=kind)
    except msgspec.DecodeError as error:
        raise InputError("invalid_body", str(error), param="body") from error


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
    answer = _json(known.as_json(), error.status_code)
    answer.headers.update(error.headers or {})
    return answer


def _attempt(request: Request) -> int | None:
    given = request.query_params.get("attempt")
    if given is None:
        return None
    if not (given.isascii() and given.isdigit()):
        raise InputError("invalid_attempt", f"`{given}` is no number of an attempt", param="attempt")
    return int(given[:_DIGITS])


async def _read(request: Request) -> bytes:
    """Return the body; raises `InputError` as soon as it is larger than any request needs."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > _MAX_BODY_BYTES:
            raise InputError("body_too_large", f"the body is larger than {_MAX_BODY_BYTES:,} bytes", param="body")
    return bytes(body)


def _handler(answer: Callable[[Request, bytes], Response]) -> Callable[[Request], Any]:
    async def endpoint(request: Request) -> Response:
        try:
            return await run_in_threadpool(answer, request, await _read(request))
        except TrimtabError as error:
            return _json(error.as_json(), error.http_status)

    return endpoint


class _Api:
    def __init__(self, plane: ControlPlane, evidence: EvidenceReader) -> None:
        self._plane = plane
        self._evidence = evidence

    def routes(self) -> list[BaseRoute]:
        return [
            Route("/api/v1/running", _handler(self._running)),
            Route("/api/v1/features/{feature}/releases", _handler(self._releases)),
            Route("/api/v1/features/{feature}/history", _handler(self._history)),
            Route("/api/v1/features/{feature}/evals", _handler(self._evals), methods=["GET"]),
            Route("/api/v1/features/{feature}/evals", _handler(self._record_eval), methods=["POST"]),
            Route("/api/v1/rollouts", _handler(self._rollouts), methods=["GET"]),
            Route("/api/v1/rollouts", _handler(self._start), methods=["POST"]),
            Route("/api/v1/rollouts/{rollout}", _handler(self._rollout)),
            Route("/api/v1/rollouts/{rollout}/{command}", _handler(self._command), methods=["POST"]),
            Route("/api/v1/traces/{generation}", _handler(self._trace)),
            Route("/api/v1/evidence/{question}", _handler(self._ask)),
            Route("/api/v1/audit", _handler(self._audit)),
        ]

    def _running(self, request: Request, _body_bytes: bytes) -> Response:
        return _json(self._plane.running(request.query_params.get("feature")))

    def _rollouts(self, request: Request, _body_bytes: bytes) -> Response:
        return _json(self._plane.rollouts(request.query_params.get("feature")))

    def _rollout(self, request: Request, _body_bytes: bytes) -> Response:
        return _json(self._plane.explain(request.path_params["rollout"], attempt=_attempt(request)))

    def _start(self, request: Request, body: bytes) -> Response:
        wish = _body(body, request.headers.get("content-type", ""), _StartRollout)
        return _json(
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
        wish = _body(body, request.headers.get("content-type", ""), _Command)
        if name == "promote" and not wish.reason.strip():
            raise InputError(
                "missing_reason",
                "who promotes past the evidence says why: it stands in the audit log",
                param="reason",
                hint='{"reason": "..."}',
            )
        return _json(self._plane.command_rollout(request.path_params["rollout"], name, reason=wish.reason))

    def _releases(self, request: Request, _body_bytes: bytes) -> Response:
        return _json(self._plane.releases(request.path_params["feature"]))

    def _evals(self, request: Request, _body_bytes: bytes) -> Response:
        return _json(self._plane.eval_results(request.path_params["feature"], request.query_params.get("release")))

    def _record_eval(self, request: Request, body: bytes) -> Response:
        wish = _body(body, request.headers.get("content-type", ""), EvalWish)
        result = self._plane.record_eval(request.path_params["feature"], wish.release, wish.suite, wish.outcome())
        return _json(result, 201)

    def _history(self, request: Request, _body_bytes: bytes) -> Response:
        environment = request.query_params.get("environment")
        return _json(self._plane.pointer_history(request.path_params["feature"], environment))

    def _trace(self, request: Request, _body_bytes: bytes) -> Response:
        return _json(self._plane.trace(request.path_params["generation"]))

    def _ask(self, request: Request, _body_bytes: bytes) -> Response:
        question = request.path_params["question"]
        if question not in EVIDENCE_QUESTIONS:
            known = ", ".join(EVIDENCE_QUESTIONS)
            raise NotFoundError("unknown_question", f"no question `{question}`", hint=f"one of {known}")
        environment = self._plane.environment
        return _json(answer(self._evidence, question, request.query_params, environment=environment))

    def _audit(self, _request: Request, _body_bytes: bytes) -> Response:
        entries, broken = self._plane.audit()
        return _json({"entries": entries, "broken": broken})
