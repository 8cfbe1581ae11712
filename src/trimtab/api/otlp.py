"""OTLP over HTTP: other people's traces come in here."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Protocol

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.routing import Route

from trimtab.core.errors import InputError, StorageError, TrimtabError
from trimtab.telemetry.otlp_request import JSON, MAX_BYTES, PROTOBUF, encode_answer, encode_failure, read_traces

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
    from starlette.requests import Request
    from starlette.routing import BaseRoute

__all__ = ["otlp_routes"]

_STATUS = {"unsupported_type": 415, "too_large": 413}
_RETRY_SECONDS = "5"
_NO_KEY = "send a gateway key as `Authorization: Bearer ...` or `x-api-key: ...`"


class _Intake(Protocol):
    """What takes traces."""

    def team_of(self, key: str) -> str | None:
        """Return whose key it is; `None` where it is nobody's."""
        ...

    def take(self, request: ExportTraceServiceRequest, *, team: str) -> tuple[int, str]:
        """Return how many spans were refused and why; raises `StorageError`."""
        ...


def otlp_routes(intake: _Intake) -> list[BaseRoute]:
    """Return OTLP's own route, and the one under which Langfuse's SDKs look for it."""

    async def endpoint(request: Request) -> Response:
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        answer_kind = JSON if kind == JSON else PROTOBUF
        try:
            team = await run_in_threadpool(intake.team_of, _key(request.headers))
            if team is None:  # before the body: nobody's is held in memory
                return Response(encode_failure(_NO_KEY, content_type=answer_kind), 401, media_type=answer_kind)
            body = await _body(request)
            return await run_in_threadpool(_take, intake, request, body, kind, team)
        except TrimtabError as error:
            storage = isinstance(error, StorageError)
            return Response(
                encode_failure(error.message, content_type=answer_kind),
                status_code=503 if storage else _STATUS.get(error.code, error.http_status),
                media_type=answer_kind,
                headers={"retry-after": _RETRY_SECONDS} if storage else None,
            )

    return [Route(path, endpoint, methods=["POST"]) for path in ("/v1/traces", "/api/public/otel/v1/traces")]


def _take(intake: _Intake, request: Request, body: bytes, kind: str, team: str) -> Response:
    traces = read_traces(body, content_type=kind, encoding=request.headers.get("content-encoding", "").lower())
    refused, why = intake.take(traces, team=team)
    return Response(encode_answer(refused, why, content_type=kind), media_type=kind)


def _key(headers: Mapping[str, str]) -> str:
    """Return the key that was sent: as bearer token, as `x-api-key`, or as the password of Basic (Langfuse's SDKs)."""
    scheme, _, value = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(value, validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return ""
    return headers.get("x-api-key", "")


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MAX_BYTES:
            raise InputError("too_large", f"the body is larger than {MAX_BYTES // 2**20} MiB", param="body")
    return bytes(body)
