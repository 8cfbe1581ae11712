"""Bodies of OTLP requests and answers: protobuf and JSON, packed or not, and what is none."""

from __future__ import annotations

import contextlib
import gzip
import importlib.util
import json
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from trimtab.core.errors import InputError
from trimtab.telemetry.otlp_request import JSON, MAX_BYTES, PROTOBUF, encode_answer, encode_failure, read_traces
from trimtab.telemetry.otlp_values import key_values

OTLP_KEYS = ("scopeSpans", "spans", "traceId", "spanId", "attributes", "key", "value", "stringValue", "links", "status")


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("kind", [PROTOBUF, JSON])
def test_bodies_in_protobuf_and_json_mean_the_same(kind: str, packed: bool) -> None:  # noqa: FBT001 - a parameter
    trace, span, start_ns, end_ns = (
        bytes(range(16)),
        bytes(range(8)),
        1_760_000_000_000_000_000,
        1_760_000_001_500_000_000,
    )
    request = ExportTraceServiceRequest()
    request.resource_spans.add().scope_spans.add().spans.append(
        Span(
            trace_id=trace,
            span_id=span,
            name="x",
            start_time_unix_nano=start_ns,
            end_time_unix_nano=end_ns,
            attributes=key_values({"a": 1}),
        )
    )
    tree = {"traceId": trace.hex(), "spanId": span.hex(), "name": "x", "unknown": 1}
    tree |= {"startTimeUnixNano": str(start_ns), "endTimeUnixNano": str(end_ns)}
    tree |= {"attributes": [{"key": "a", "value": {"intValue": "1"}}]}
    body = {
        PROTOBUF: request.SerializeToString(),
        JSON: json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [tree]}]}]}).encode(),
    }[kind]
    read_back = read_traces(
        gzip.compress(body) if packed else body, content_type=kind, encoding="gzip" if packed else ""
    )
    assert read_back == request


PACKED: Final = gzip.compress(b"x" * 100, mtime=0)
BOMB: Final = gzip.compress(b"\x00" * (MAX_BYTES + 1), mtime=0)


@pytest.mark.parametrize(
    ("body", "kind", "encoding", "code"),
    [
        pytest.param(b"\xff\xff", PROTOBUF, "", "unreadable", id="no-protobuf"),
        pytest.param(b"{", JSON, "", "unreadable", id="half-json"),
        pytest.param(b"[]", JSON, "", "unreadable", id="json-array"),
        pytest.param(b'{"resourceSpans": [{"scopeSpans": 3}]}', JSON, "", "unreadable", id="wrong-shape"),
        pytest.param(b"not gzip", PROTOBUF, "gzip", "unreadable", id="no-gzip"),
        pytest.param(PACKED[:-9], PROTOBUF, "gzip", "unreadable", id="torn-gzip"),
        pytest.param(BOMB, PROTOBUF, "gzip", "too_large", id="gzip-bomb"),
        pytest.param(b"", "text/plain", "", "unsupported_type", id="plain-text"),
        pytest.param(b"", PROTOBUF, "br", "unsupported_type", id="brotli"),
    ],
)
def test_what_is_no_request_is_refused(body: bytes, kind: str, encoding: str, code: str) -> None:
    with pytest.raises(InputError) as caught:
        read_traces(body, content_type=kind, encoding=encoding)
    assert caught.value.code == code


SHAPES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from([*OTLP_KEYS, "other"]), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(SHAPES)
def test_json_of_any_shape_is_read_or_refused(tree: Any) -> None:
    body = json.dumps({"resourceSpans": tree}).encode()
    with contextlib.suppress(InputError):
        read_traces(body, content_type=JSON, encoding="")


def test_answers_say_how_many_were_refused() -> None:
    answer = ExportTraceServiceResponse.FromString(encode_answer(3, "why", content_type=PROTOBUF))
    assert (answer.partial_success.rejected_spans, answer.partial_success.error_message) == (3, "why")
    assert encode_answer(0, "", content_type=PROTOBUF) == b""
    assert json.loads(encode_answer(3, "why", content_type=JSON)) == {
        "partialSuccess": {"rejectedSpans": "3", "errorMessage": "why"}
    }
    assert json.loads(encode_failure("no", content_type=JSON)) == {"code": 3, "message": "no"}


def test_failures_are_a_status_as_google_has_it() -> None:
    if importlib.util.find_spec("google.rpc") is None:
        pytest.skip("googleapis-common-protos is not installed")
    from google.rpc.status_pb2 import Status as GoogleStatus  # type: ignore[import-untyped]

    status = GoogleStatus.FromString(encode_failure("so ein Ärger" * 40, content_type=PROTOBUF))
    assert (status.code, len(status.message)) == (3, 127)
