"""What both wire formats share when a caller's arguments meet a release. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from trimtab.core.errors import InputError
from trimtab.events import read_attributes

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "CallOptions",
    "ModelRequest",
    "body_of",
    "call_arguments",
    "given_arguments",
    "plain",
    "take_options",
    "uncarried",
]

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
    if "model" in (caller.get("extra_body") or {}):
        raise InputError(
            "pinned_field",
            "the release decides the model",
            param="extra_body.model",
            hint="leave it out; to change the model, push a new release and roll it out",
        )
    body = {name: value for name, value in caller.items() if name not in {*_CLIENT_ONLY, "extra_body", "model"}}
    return body | dict(caller.get("extra_body") or {})


def call_arguments(body: Mapping[str, Any], caller: Mapping[str, Any], *, accepted: frozenset[str]) -> dict[str, Any]:
    """Return a body as keyword arguments of a client that knows `accepted`; the rest goes into `extra_body`."""
    arguments = {name: value for name, value in body.items() if name in accepted}
    unknown = {name: value for name, value in body.items() if name not in accepted}
    if unknown:
        arguments["extra_body"] = unknown
    return arguments | {name: caller[name] for name in _CLIENT_ONLY if name in caller}


def plain(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """Return plain JSON values: callers hand the clients' own pydantic objects back in later messages."""
    return msgspec.to_builtins(value, enc_hook=_plain_object)


def _plain_object(value: Any) -> Any:  # noqa: ANN401 - an object of the provider's client
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json", exclude_unset=True)
    raise InputError(
        "invalid_type",
        f"a message holds a `{type(value).__name__}`, which has no JSON form",
        param="messages",
        hint="use strings, numbers, lists and dicts, or the client's own objects",
    )


def uncarried(field: str, *, why: str, hint: str | None = None) -> InputError:
    """Return the `InputError` (`cannot_carry`) for a field that this wire has no place for: it is never dropped."""
    return InputError("cannot_carry", f"{field} cannot be carried: {why}", param=field, hint=hint)
