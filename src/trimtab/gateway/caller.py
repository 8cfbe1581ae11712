"""What a caller says: the feature it means, the unit it speaks for, the variables it fills in."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from trimtab.core.errors import InputError
from trimtab.providers.openai import UNREADABLE

if TYPE_CHECKING:
    from trimtab.providers.http import Request

__all__ = ["Caller", "read_caller", "read_json"]

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-(?P<trace>(?!0{32})[0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")
_MAX_UNIT_CHARACTERS = 512


class Caller(NamedTuple):
    """One request, understood."""

    body: dict[str, Any]
    feature: str
    unit: str
    variables: dict[str, Any]
    stream: bool
    trace: str
    """W3C trace id, where the caller sent a valid `traceparent`."""


def read_caller(request: Request) -> Caller:
    """Return what a request says; raises `InputError` that names the field.

    Unit: header `x-trimtab-unit`, else body `user`, else `safety_identifier`; none is the empty unit. Variables: body
    `trimtab.variables`, or header `x-trimtab-variables` (a JSON object), not both.
    """
    body = read_json(request.body)
    feature = body.get("model")
    if not isinstance(feature, str) or not feature:
        raise InputError("missing_field", "`model` must name a feature", param="model")
    stream = body.get("stream")
    if stream is not None and not isinstance(stream, bool):
        raise InputError("invalid_type", "`stream` must be true or false", param="stream")
    return Caller(body, feature, _unit(body, request), _variables(body, request), bool(stream), _trace(request.headers))


def read_json(body: bytes) -> dict[str, Any]:
    """Return the JSON object in a body; raises `InputError` that says at which byte it is none."""
    try:
        body.decode()
    except UnicodeDecodeError as error:
        raise InputError(
            "not_utf8", f"byte {error.start} of the request body is not UTF-8", hint="send JSON encoded as UTF-8"
        ) from error
    try:
        value = msgspec.json.decode(body)
    except UNREADABLE as error:
        place = "" if "byte" in str(error) else f" (byte {len(body)})"
        raise InputError("invalid_json", f"the request body is not JSON: {error}{place}") from error
    if not isinstance(value, dict):
        raise InputError("invalid_json", "the request body must be a JSON object")
    return value


def _unit(body: dict[str, Any], request: Request) -> str:
    given = request.text_header(b"x-trimtab-unit")
    if given:
        return _checked_unit(given, "x-trimtab-unit")
    for field in ("user", "safety_identifier"):
        value = body.get(field)
        if value is not None:
            if not isinstance(value, str):
                raise InputError("invalid_type", f"`{field}` must be a string", param=field)
            if value:
                return _checked_unit(value, field)
    return ""


def _checked_unit(value: str, field: str) -> str:
    if len(value) > _MAX_UNIT_CHARACTERS:
        raise InputError("invalid_unit", f"`{field}` exceeds {_MAX_UNIT_CHARACTERS} characters", param=field)
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise InputError("invalid_unit", f"`{field}` holds half a surrogate pair", param=field) from error
    return value


def _variables(body: dict[str, Any], request: Request) -> dict[str, Any]:
    ours = body.get("trimtab")
    if ours is not None and not isinstance(ours, dict):
        raise InputError("invalid_type", "`trimtab` must be an object", param="trimtab")
    for name in ours or ():
        if name != "variables":
            close = difflib.get_close_matches(name, ["variables"], n=1)
            hint = f"did you mean `{close[0]}`?" if close else "it takes `variables`"
            raise InputError("unknown_field", f"`trimtab` has no field `{name}`", param=f"trimtab.{name}", hint=hint)
    variables = (ours or {}).get("variables")
    sent = request.headers.get(b"x-trimtab-variables")
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


def _trace(headers: dict[bytes, bytes]) -> str:
    sent = headers.get(b"traceparent")
    match = _TRACEPARENT.fullmatch(sent.decode("latin-1")) if sent else None
    return match["trace"] if match else ""
