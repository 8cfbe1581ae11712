"""What a caller says: the feature it means, the unit it speaks for, the variables it fills in."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Any

import msgspec

from trimtab.calls.caller import Caller
from trimtab.core.errors import InputError
from trimtab.events import read_attributes
from trimtab.providers.openai import UNREADABLE

if TYPE_CHECKING:
    from trimtab.calls import Format
    from trimtab.providers.http import Request

__all__ = ["MAX_UNIT_CHARACTERS", "read_beside", "read_caller", "read_json"]

_TRACEPARENT = re.compile(
    r"[0-9a-f]{2}-(?P<trace>(?!0{32})[0-9a-f]{32})-(?P<span>(?!0{16})[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})(-.*)?"
)
MAX_UNIT_CHARACTERS = 512
_UNIT_FIELDS = ("user", "safety_identifier")
_OUR_FIELDS = ("variables", "attributes")
_decode = msgspec.json.Decoder(dict[str, Any]).decode


def read_caller(request: Request, format: Format) -> Caller:  # noqa: A002 - the field's word
    """Return what a request says; raises `InputError` that names the field.

    Unit: header `x-trimtab-unit`, else what the format has for it (`user`, else `safety_identifier`; of Messages,
    `metadata.user_id`); none is the empty unit, and then header `x-trimtab-session` is the session. Variables: body
    `trimtab.variables`, or header `x-trimtab-variables` (a JSON object), not both.
    """
    try:
        body = _decode(request.body)
    except UNREADABLE as error:
        raise _unreadable(request.body, error) from error
    feature = body.get("model")
    if not isinstance(feature, str) or not feature:
        raise InputError("missing_field", "`model` must name a feature", param="model")
    stream = body.get("stream")
    if stream is not None and stream is not True and stream is not False:
        raise InputError("invalid_type", "`stream` must be true or false", param="stream")
    headers = request.headers
    unit: Any = body.get("user")
    plain = type(unit) is str and unit.isascii() and 0 < len(unit) <= MAX_UNIT_CHARACTERS
    if not plain or format == "messages" or b"x-trimtab-unit" in headers:
        unit = _unit(body, request, format)
    variables: dict[str, Any] = {}
    attributes: dict[str, str] = {}
    if "trimtab" in body or b"x-trimtab-variables" in headers:
        variables, attributes = read_beside(body, request.headers.get(b"x-trimtab-variables"))
    streams = stream is True and format != "embeddings"
    session = _session(request) if not unit and b"x-trimtab-session" in headers else ""
    if b"traceparent" not in headers:
        return Caller(body, feature, unit, variables, streams, session=session, attributes=attributes)
    return Caller(body, feature, unit, variables, streams, *_trace(headers), session, attributes)


def read_beside(body: dict[str, Any], sent: bytes | None = None) -> tuple[dict[str, Any], dict[str, str]]:
    """Return variables and attributes of a body; raises `InputError` that names the field.

    `sent`: header `x-trimtab-variables`.
    """
    ours = _ours(body)
    variables = _variables(ours, sent)
    given = ours.get("attributes")
    return variables, {} if given is None else read_attributes(given, param="trimtab.attributes")


def read_json(body: bytes) -> dict[str, Any]:
    """Return the JSON object in a body; raises `InputError` that says at which byte it is none."""
    try:
        return _decode(body)
    except UNREADABLE as error:
        raise _unreadable(body, error) from error


def _unreadable(body: bytes, error: Exception) -> InputError:
    try:
        body.decode()
    except UnicodeDecodeError as wrong:
        message = f"byte {wrong.start} of the request body is not UTF-8"
        return InputError("not_utf8", message, hint="send JSON encoded as UTF-8")
    if isinstance(error, msgspec.ValidationError):
        return InputError("invalid_json", "the request body must be a JSON object")
    place = "" if "byte" in str(error) else f" (byte {len(body)})"
    return InputError("invalid_json", f"the request body is not JSON: {error}{place}")


def _unit(body: dict[str, Any], request: Request, format: Format) -> str:  # noqa: A002 - the field's word
    if b"x-trimtab-unit" in request.headers and (given := request.text_header(b"x-trimtab-unit")):
        return _checked_unit(given, "x-trimtab-unit")
    if format == "messages":
        metadata = body.get("metadata")
        if not isinstance(metadata, dict):
            return ""  # of the wrong type, it is refused with the rest of the body
        body = {"user": metadata.get("user_id")}
    for field in _UNIT_FIELDS:
        value = body.get(field)
        if value is not None:
            shown = "metadata.user_id" if format == "messages" else field
            if not isinstance(value, str):
                raise InputError("invalid_type", f"`{shown}` must be a string", param=shown)
            if value:
                return _checked_unit(value, shown)
    return ""


def _session(request: Request) -> str:
    return _checked_unit(request.text_header(b"x-trimtab-session"), "x-trimtab-session")


def _checked_unit(value: str, field: str) -> str:
    if len(value) > MAX_UNIT_CHARACTERS:
        raise InputError("invalid_unit", f"`{field}` exceeds {MAX_UNIT_CHARACTERS} characters", param=field)
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise InputError("invalid_unit", f"`{field}` holds half a surrogate pair", param=field) from error
    return value


def _ours(body: dict[str, Any]) -> dict[str, Any]:
    """Return what the body says to Trimtab itself."""
    ours = body.get("trimtab")
    if ours is None:
        return {}
    if not isinstance(ours, dict):
        raise InputError("invalid_type", "`trimtab` must be an object", param="trimtab")
    for name in ours:
        if name not in _OUR_FIELDS:
            close = difflib.get_close_matches(name, _OUR_FIELDS, n=1)
            hint = f"did you mean `{close[0]}`?" if close else "it takes `variables` and `attributes`"
            raise InputError("unknown_field", f"`trimtab` has no field `{name}`", param=f"trimtab.{name}", hint=hint)
    return ours


def _variables(ours: dict[str, Any], sent: bytes | None) -> dict[str, Any]:
    variables = ours.get("variables")
    if sent is not None:
        if variables is not None:
            raise InputError(
                "conflicting_variables", "variables came in the body and in a header", param="x-trimtab-variables"
            )
        try:
            variables = msgspec.json.decode(sent)
        except UNREADABLE as error:
            message = f"the header is not JSON: {error}"
            raise InputError("invalid_json", message, param="x-trimtab-variables") from error
    if variables is None:
        return {}
    if not isinstance(variables, dict):
        raise InputError("invalid_type", "variables must be an object", param="trimtab.variables")
    return variables


def _trace(headers: dict[bytes, bytes]) -> tuple[str, str, str]:
    """Return trace id, span id and flags of a `traceparent` (W3C Trace Context, level 2, §3.2); blank where wrong."""
    match = _TRACEPARENT.fullmatch(headers[b"traceparent"].decode("latin-1"))
    return (match["trace"], match["span"], match["flags"]) if match else ("", "", "")
