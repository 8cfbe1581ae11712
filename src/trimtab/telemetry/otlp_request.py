"""Bodies of OTLP over HTTP: protobuf or JSON, gzip or not, within bounds.

https://opentelemetry.io/docs/specs/otlp/#otlphttp-request
"""

from __future__ import annotations

import base64
import binascii
import zlib
from typing import Any

import msgspec
from google.protobuf import json_format
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from trimtab.core.errors import InputError

__all__ = ["JSON", "MAX_BYTES", "PROTOBUF", "encode_answer", "encode_failure", "read_traces"]

PROTOBUF = "application/x-protobuf"
JSON = "application/json"
MAX_BYTES = 32 * 1024 * 1024
"""Of a body, once it is decompressed."""
_IDS = ("traceId", "spanId", "parentSpanId")
_INVALID_ARGUMENT = 3
"""google.rpc.Code."""


def read_traces(body: bytes, *, content_type: str, encoding: str) -> ExportTraceServiceRequest:
    """Return the request in a body; raises `InputError` (`unsupported_type`, `too_large`, `unreadable`)."""
    if content_type not in {PROTOBUF, JSON}:
        raise InputError(
            "unsupported_type",
            f"`{content_type}` is not OTLP over HTTP",
            param="content-type",
            hint=f"{PROTOBUF} or {JSON}",
        )
    plain = _plain(body, encoding)
    try:
        if content_type == PROTOBUF:
            return ExportTraceServiceRequest.FromString(plain)
        tree = msgspec.json.decode(plain, type=dict)
        _mend_ids(tree)
        return json_format.ParseDict(tree, ExportTraceServiceRequest(), ignore_unknown_fields=True)
    except (DecodeError, json_format.ParseError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError("unreadable", f"this is no trace request: {type(error).__name__}", param="body") from error


def _plain(body: bytes, encoding: str) -> bytes:
    if encoding in {"", "identity"}:
        plain = body
    elif encoding == "gzip":
        unpacker = zlib.decompressobj(wbits=31)
        try:
            plain = unpacker.decompress(body, MAX_BYTES + 1)
        except zlib.error as error:
            raise InputError("unreadable", "the body is not gzip", param="content-encoding") from error
        if not unpacker.eof and len(plain) <= MAX_BYTES:
            raise InputError("unreadable", "the body ends within its gzip", param="body")
    else:
        message = f"`{encoding}` is no encoding that is read"
        raise InputError("unsupported_type", message, param="content-encoding", hint="gzip")
    if len(plain) > MAX_BYTES:
        message = f"the body is larger than {MAX_BYTES // 2**20} MiB"
        raise InputError("too_large", message, param="body", hint="send less at once")
    return plain


def _mend_ids(tree: Any) -> None:  # noqa: ANN401 - any JSON value
    """Write ids as protobuf's JSON wants them: OTLP's own has them in hexadecimal, and that alone is different."""
    for resource in _items(tree, "resourceSpans"):
        for scope in _items(resource, "scopeSpans"):
            for span in _items(scope, "spans"):
                for holder in (span, *_items(span, "links")):
                    for name in _IDS:
                        if isinstance(holder, dict) and isinstance(holder.get(name), str):
                            holder[name] = _from_hex(holder[name])


def _items(tree: Any, name: str) -> list[Any]:  # noqa: ANN401 - any JSON value
    found = tree.get(name) if isinstance(tree, dict) else None
    return found if isinstance(found, list) else []


def _from_hex(digits: str) -> str:
    try:
        return base64.b64encode(binascii.unhexlify(digits)).decode()
    except (binascii.Error, ValueError):
        return ""  # no id: the span is refused, and not the whole request


def encode_answer(rejected: int, message: str, *, content_type: str) -> bytes:
    """Return what is answered to a request that was taken, all of it or in part."""
    answer = ExportTraceServiceResponse()
    if rejected or message:
        answer.partial_success.CopyFrom(ExportTracePartialSuccess(rejected_spans=rejected, error_message=message))
    if content_type == JSON:
        return json_format.MessageToJson(answer, indent=None).encode()
    return answer.SerializeToString()


def encode_failure(message: str, *, content_type: str) -> bytes:
    """Return a `google.rpc.Status` that says why nothing was taken."""
    if content_type == JSON:
        return msgspec.json.encode({"code": _INVALID_ARGUMENT, "message": message})
    told = message.encode("ascii", "replace")[:127]  # its length fits one byte of a varint
    return bytes([0x08, _INVALID_ARGUMENT, 0x12, len(told)]) + told
