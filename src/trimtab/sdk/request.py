"""What a caller's arguments may and may not say to a feature: the strict rule that both wire formats share. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

import msgspec

from trimtab.core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["CallOptions", "carry_unknown", "given_arguments", "refuse_pinned", "take_options", "uncarried"]

_NOT_GIVEN = frozenset({"NotGiven", "Omit"})


class CallOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a caller tells Trimtab beside the provider's own arguments: `trimtab={...}`."""

    variables: dict[str, Any] = {}
    """Variables of the release's prompt."""
    unit: str | None = None
    """The targeting key; the provider's own user field where absent."""
    trace: str = ""
    """W3C trace id of the caller."""


def given_arguments(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments that were really given: the clients mark the others with a sentinel."""
    return {name: value for name, value in arguments.items() if type(value).__name__ not in _NOT_GIVEN}


def take_options(arguments: dict[str, Any]) -> CallOptions:
    """Remove and return `trimtab` from the arguments, or from `extra_body`, where the gateway's callers put it.

    Raises `InputError` (`invalid_options`) for an unknown or mistyped option.
    """
    value = arguments.pop("trimtab", None)
    extra_body = arguments.get("extra_body")
    if isinstance(extra_body, dict) and "trimtab" in extra_body:
        rest = {name: item for name, item in extra_body.items() if name != "trimtab"}
        arguments["extra_body"] = rest or None
        value = extra_body["trimtab"] if value is None else value
    try:
        return msgspec.convert({} if value is None else value, CallOptions)
    except msgspec.ValidationError as error:
        raise InputError(
            "invalid_options",
            f"`trimtab` is wrong: {error}",
            param="trimtab",
            hint='it takes {"variables": {...}, "unit": "...", "trace": "..."}',
        ) from error


def refuse_pinned(arguments: Mapping[str, Any], pinned: Iterable[str], *, release: str) -> None:
    """Raise `InputError` (`pinned_parameter`) for the first argument, also in `extra_body`, that the release pins."""
    extra_body = arguments.get("extra_body")
    extra: Mapping[str, Any] = extra_body if isinstance(extra_body, dict) else {}
    for name in pinned:
        if arguments.get(name) is not None:
            _pinned(name, name, release)
        if name in extra:
            _pinned(name, f"extra_body.{name}", release)


def _pinned(name: str, param: str, release: str) -> NoReturn:
    raise InputError(
        "pinned_parameter",
        f"`{name}` is pinned by release {release}",
        param=param,
        hint=f"leave `{name}` out; to change it, push a new release and roll it out",
    )


def uncarried(field: str, *, why: str, hint: str | None = None) -> InputError:
    """Return the `InputError` (`cannot_carry`) to raise: a field of the release has no place on this wire, and is never dropped."""
    return InputError("cannot_carry", f"{field} cannot be carried: {why}", param=field, hint=hint)


def carry_unknown(arguments: dict[str, Any], *, accepted: frozenset[str]) -> dict[str, Any]:
    """Return the arguments with those that this version of the client does not accept moved into `extra_body`."""
    unknown = {name: value for name, value in arguments.items() if name not in accepted}
    if not unknown:
        return arguments
    merged = {name: value for name, value in arguments.items() if name in accepted}
    merged["extra_body"] = {**unknown, **(arguments.get("extra_body") or {})}
    return merged
