"""What both wire formats share when a caller's arguments meet a release. Pure."""

from __future__ import annotations

import enum
import math
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from trimtab.core.errors import InputError
from trimtab.events import read_attributes
from trimtab.providers.mirrorable import harmless

__all__ = [
    "CallOptions",
    "ModelRequest",
    "body_of",
    "call_arguments",
    "checked_attributes",
    "checked_variables",
    "given_arguments",
    "mirrored_arguments",
    "plain",
    "plain_items",
    "take_options",
    "uncarried",
]

_IDEMPOTENCY = "idempotency-key"
_NO_LISTS = (str, bytes, Mapping)
"""What can be iterated over and is no list of anything."""
_NOT_GIVEN = frozenset({"NotGiven", "Omit"})
_CLIENT_ONLY = ("extra_headers", "extra_query", "timeout")
"""Arguments about the HTTP call: never part of the body."""


class CallOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a caller tells Trimtab beside the provider's own arguments: `trimtab={...}`."""

    variables: dict[str, Any] = {}
    """Variables of the release's prompt."""
    attributes: dict[str, str] = {}
    """Labels for segments: recorded, never sent on."""
    unit: str | None = None
    """The targeting key; the provider's own user field where absent."""
    session: str = ""
    """What is randomised where there is no unit, and the rollout's plan says `fallback: session`."""
    trace: str = ""
    """W3C trace id of the caller."""


class ModelRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What is sent to the provider, and what the caller must not see of the answer."""

    arguments: dict[str, Any]
    """Keyword arguments of the client's own method."""
    messages: list[Any]
    """The prompt as it is sent, system messages first, for the record."""
    usage_is_ours: bool = False
    """Whether the usage chunk at the end of a stream was asked for by Trimtab and not by the caller."""


def mirrored_arguments(arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of a mirror: nothing of it is stored, and no key of the user's makes it the same request."""
    mirrored = harmless(arguments, stores_by_default=False)
    headers = mirrored.get("extra_headers") or {}
    kept = {name: value for name, value in headers.items() if name.lower() != _IDEMPOTENCY}
    if len(kept) < len(headers):
        mirrored = {**mirrored, "extra_headers": kept}
    body = mirrored.get("extra_body")
    return mirrored if not body else {**mirrored, "extra_body": harmless(dict(body), stores_by_default=False)}


def given_arguments(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments that were really given: the clients mark the others with a sentinel, callers with `None`."""
    return {
        name: value for name, value in arguments.items() if value is not None and type(value).__name__ not in _NOT_GIVEN
    }


def take_options(arguments: dict[str, Any]) -> CallOptions | None:
    """Remove and return `trimtab` from the arguments, or from `extra_body`, where the gateway's callers put it.

    `None` where there is none; raises `InputError` (`invalid_options`) for an unknown or mistyped option.
    """
    value = arguments.pop("trimtab", None)
    extra_body = arguments.get("extra_body")
    if isinstance(extra_body, dict) and "trimtab" in extra_body:
        arguments["extra_body"] = {name: item for name, item in extra_body.items() if name != "trimtab"}
        value = extra_body["trimtab"] if value is None else value
    if value is None:
        return None
    try:
        options = msgspec.convert(value, CallOptions)
    except msgspec.ValidationError as error:
        raise InputError(
            "invalid_options",
            f"`trimtab` is wrong: {error}",
            param="trimtab",
            hint='it takes {"variables": {...}, "unit": "...", "session": "...", "attributes": {...}, "trace": "..."}',
        ) from error
    if options.attributes:
        read_attributes(options.attributes, param="trimtab.attributes")
    return options


def body_of(caller: Mapping[str, Any]) -> dict[str, Any]:
    """Return the caller's arguments as the one JSON body they would become: `extra_body` is laid over the rest.

    `model` is left out, for it named the feature; a second one in `extra_body` is an error (`pinned_field`).
    """
    extra = caller.get("extra_body") or {}
    if not isinstance(extra, Mapping):
        raise InputError("invalid_type", f"`extra_body` is a dict, not a `{type(extra).__name__}`", param="extra_body")
    if "model" in extra:
        raise InputError(
            "pinned_field",
            "the release decides the model",
            param="extra_body.model",
            hint="leave it out; to change the model, push a new release and roll it out",
        )
    body = {name: value for name, value in caller.items() if name not in {*_CLIENT_ONLY, "extra_body", "model"}}
    return body | dict(extra)


def call_arguments(body: Mapping[str, Any], caller: Mapping[str, Any], *, accepted: frozenset[str]) -> dict[str, Any]:
    """Return a body as keyword arguments of a client that knows `accepted`; the rest goes into `extra_body`."""
    arguments = {name: value for name, value in body.items() if name in accepted}
    unknown = {name: value for name, value in body.items() if name not in accepted}
    if unknown:
        arguments["extra_body"] = unknown
    return arguments | {name: caller[name] for name in _CLIENT_ONLY if name in caller}


def checked_variables(value: Any) -> dict[str, Any]:  # noqa: ANN401 - whatever an application passed
    """Return a copy of the variables of a prompt; raises `InputError` (`invalid_variables`) for what maps nothing.

    Whether all of its keys are names is for the release to see.
    """
    if value.__class__ is dict or isinstance(value, Mapping):
        return dict(value)
    if value is None:
        return {}
    raise InputError(
        "invalid_variables",
        f"variables are values by their names, not `{value!r:.100}`",
        param="variables",
        hint='pass {"name": value}',
    )


def checked_attributes(value: Any) -> dict[str, str]:  # noqa: ANN401 - whatever an application passed
    """Return labels for segments; raises `InputError` (`invalid_attributes`) where they are not what segments take."""
    if value is None:
        return {}
    return read_attributes(dict(value) if isinstance(value, Mapping) else value)


def plain_items(value: Any, at: str) -> list[Any]:  # noqa: ANN401 - whatever a caller passed
    """Return any iterable as a plain JSON array; raises `InputError` (`invalid_type`) as `plain` does."""
    if type(value) is not list and (isinstance(value, _NO_LISTS) or not isinstance(value, Iterable)):
        raise InputError(
            "invalid_type", f"`{at}` is a list, not a `{type(value).__name__}`", param=at, hint="pass a list of dicts"
        )
    items: list[Any] = plain(value if type(value) is list else list(value), at)
    return items


def plain(value: Any, at: str) -> Any:  # noqa: ANN401 - any JSON value
    """Return a value as plain JSON: callers hand the clients' own pydantic objects back in later messages.

    Raises `InputError` (`invalid_type`) that names what has no JSON form, or would be another value in it: bytes,
    sets, NaN, half a surrogate pair.
    """
    try:
        return _copied(value)  # what most callers pass is plain already: this is a quarter of the work
    except (_OddError, UnicodeEncodeError, RecursionError):
        pass
    try:
        return _plain(value, at)
    except RecursionError as error:
        raise InputError("invalid_type", f"`{at}` is nested too deeply", param=at) from error


class _OddError(Exception):
    """Something is not plain JSON as it stands."""


def _copied(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """Return a copy of plain JSON; raises `_OddError` or `UnicodeEncodeError` for what has to be looked at."""
    kind = type(value)
    if kind is dict:
        copy = {}
        for name, item in value.items():
            if type(name) is not str or not name.isascii():
                raise _OddError
            copy[name] = item if type(item) is str and item.isascii() else _copied(item)
        return copy
    if kind is list:
        return [item if type(item) is str and item.isascii() else _copied(item) for item in value]
    if kind is str:
        value.encode()
    elif not (value is None or kind is int or kind is bool or (kind is float and math.isfinite(value))):
        raise _OddError
    return value


def _plain(value: Any, at: str) -> Any:  # noqa: ANN401, PLR0911 - one kind of value each
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, enum.Enum):
        return _plain(value.value, at)
    if isinstance(value, str):
        if not value.isascii():
            _check_text(value, at)
        return str.__str__(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        if math.isfinite(value):
            return float(value)
        raise _no_json(repr(value), at)
    if isinstance(value, Mapping):
        return {_name(name, at): _plain(item, f"{at}.{name}") for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, f"{at}[{index}]") for index, item in enumerate(value)]
    return _plain_object(value, at)


def _plain_object(value: Any, at: str) -> Any:  # noqa: ANN401 - an object of a client, a time, a UUID, a decimal
    if isinstance(value, bytes | bytearray | memoryview | set | frozenset):
        raise _no_json(f"of type `{type(value).__name__}`", at)
    try:
        dump = getattr(value, "model_dump", None)
        simple = msgspec.to_builtins(value) if dump is None else dump(mode="json", exclude_unset=True)
    except (TypeError, ValueError) as error:
        raise _no_json(f"of type `{type(value).__name__}`", at) from error
    return _plain(simple, at)


def _name(name: Any, at: str) -> str:  # noqa: ANN401 - any key
    if not isinstance(name, str):
        raise InputError("invalid_type", f"`{at}` has the key {name!r:.100}, which is no string", param=at)
    if not name.isascii():
        _check_text(name, at)
    return str.__str__(name)


def _check_text(text: str, at: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError("invalid_type", f"`{at}` holds half a surrogate pair", param=at) from error


def _no_json(what: str, at: str) -> InputError:
    return InputError(
        "invalid_type",
        f"`{at}` is {what}, which has no JSON form",
        param=at,
        hint="use strings, finite numbers, lists and dicts, or the client's own objects",
    )


def uncarried(field: str, *, why: str, hint: str | None = None) -> InputError:
    """Return the `InputError` (`cannot_carry`) for a field that this wire has no place for: it is never dropped."""
    return InputError("cannot_carry", f"{field} cannot be carried: {why}", param=field, hint=hint)
