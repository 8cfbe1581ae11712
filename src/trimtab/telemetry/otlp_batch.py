"""Requests of OTLP: events grouped by the process that wrote them."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.logs.v1.logs_pb2 import ResourceLogs, ScopeLogs
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans

from trimtab.telemetry import conventions as names
from trimtab.telemetry.build import version
from trimtab.telemetry.otlp_values import key_values
from trimtab.telemetry.spans import log_of, span_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from trimtab.events import Exposure, Feedback, Generation, Score

__all__ = ["logs_request", "spans_request"]

_Said = TypeVar("_Said", bound="Generation | Exposure | Score | Feedback")


def spans_request(
    calls: Iterable[Generation], *, content: bool, resource: Mapping[str, str]
) -> ExportTraceServiceRequest:
    """Return generations as one request; `resource` is told of every process beside its own name."""
    return ExportTraceServiceRequest(
        resource_spans=[
            ResourceSpans(
                resource=_resource(process, environment, resource),
                schema_url=names.SCHEMA_URL,
                scope_spans=[
                    ScopeSpans(
                        scope=_scope(),
                        schema_url=names.SCHEMA_URL,
                        spans=[span_of(call, content=content) for call in found],
                    )
                ],
            )
            for (process, environment), found in _by_process(calls).items()
        ]
    )


def logs_request(
    said: Iterable[Exposure | Score | Feedback], *, content: bool, resource: Mapping[str, str]
) -> ExportLogsServiceRequest:
    """Return exposures, scores and feedback as one request."""
    return ExportLogsServiceRequest(
        resource_logs=[
            ResourceLogs(
                resource=_resource(process, environment, resource),
                schema_url=names.SCHEMA_URL,
                scope_logs=[
                    ScopeLogs(
                        scope=_scope(),
                        schema_url=names.SCHEMA_URL,
                        log_records=[log_of(event, content=content) for event in found],
                    )
                ],
            )
            for (process, environment), found in _by_process(said).items()
        ]
    )


def _by_process(events: Iterable[_Said]) -> dict[tuple[str, str], Sequence[_Said]]:
    found: dict[tuple[str, str], list[_Said]] = {}
    for event in events:
        found.setdefault((event.process, event.environment), []).append(event)
    return dict(found)


def _scope() -> InstrumentationScope:
    return InstrumentationScope(name="trimtab", version=version())


def _resource(process: str, environment: str, more: Mapping[str, str]) -> Resource:
    told = {
        names.SERVICE_NAME: "trimtab",
        names.SERVICE_VERSION: version(),
        names.SERVICE_INSTANCE: process,
        names.DEPLOYMENT: environment,
    }
    return Resource(attributes=key_values({**told, **more}))
