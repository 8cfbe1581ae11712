"""Nothing is dropped: what the other format has no place for is an error that names it."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

from trimtab.core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

__all__ = [
    "NOTHING",
    "items_of",
    "object_of",
    "objects_of",
    "refuse_other_fields",
    "text_of",
    "truth_of",
    "uncarried",
    "unknown_field",
]

NOTHING: dict[str, str] = {}
_KINDS = {dict: "an object", list: "an array", str: "a string", bool: "a boolean"}


def uncarried(param: str, *, why: str, hint: str | None = None) -> InputError:
    """Return the `InputError` (`cannot_carry`) of a value that the other format has no place for."""
    return InputError("cannot_carry", f"`{param}` cannot be carried: {why}", param=param, hint=hint)


def unknown_field(name: str, known: Collection[str], *, at: str = "") -> InputError:
    """Return the `InputError` (`unknown_field`) of a field that is in no API reference."""
    close = difflib.get_close_matches(name, sorted(known), n=1)
    return InputError(
        "unknown_field",
        f"`{name}` is not a field of {f'`{at}`' if at else 'this request'}",
        param=f"{at}.{name}" if at else name,
        hint=f"did you mean `{close[0]}`?" if close else None,
    )


def refuse_other_fields(
    value: Mapping[str, Any], carried: frozenset[str], *, why: Mapping[str, str] = NOTHING, at: str = ""
) -> None:
    """Refuse what `value` says beyond the fields that are `carried`; `null` and `[]` say nothing.

    Raises `InputError`: `cannot_carry` for a field of `why`, which gives the reason, `unknown_field` for any other.
    """
    if value.keys() <= carried:
        return
    for name, item in value.items():
        if name in carried:
            continue
        if name not in why:
            raise unknown_field(name, {*carried, *why}, at=at)
        if item is not None and item != []:
            raise uncarried(f"{at}.{name}" if at else name, why=why[name])


def object_of(value: Any, at: str) -> dict[str, Any]:  # noqa: ANN401 - any JSON value
    """Return a JSON object; raises `InputError` (`invalid_type`) for anything else."""
    if not isinstance(value, dict):
        raise _invalid(value, dict, at)
    return value


def items_of(value: Any, at: str) -> list[Any]:  # noqa: ANN401 - any JSON value
    """Return a JSON array; raises `InputError` (`invalid_type`) for anything else."""
    if isinstance(value, tuple):
        return list(value)
    if not isinstance(value, list):
        raise _invalid(value, list, at)
    return value


def objects_of(value: Any, at: str) -> list[dict[str, Any]]:  # noqa: ANN401 - any JSON value
    """Return a JSON array of objects; raises `InputError` (`invalid_type`) that names the item that is none."""
    items = items_of(value, at)
    for index, item in enumerate(items):
        if not isinstance(item, dict):
            raise _invalid(item, dict, f"{at}[{index}]")
    return items


def text_of(value: Any, at: str) -> str:  # noqa: ANN401 - any JSON value
    """Return a JSON string; raises `InputError` (`invalid_type`) for anything else."""
    if not isinstance(value, str):
        raise _invalid(value, str, at)
    return value


def truth_of(value: Any, at: str) -> bool:  # noqa: ANN401 - any JSON value
    """Return a JSON boolean; raises `InputError` (`invalid_type`) for anything else."""
    if not isinstance(value, bool):
        raise _invalid(value, bool, at)
    return value


def _invalid(value: Any, wanted: type, at: str) -> InputError:  # noqa: ANN401 - any JSON value
    if value is None:
        return InputError("invalid_type", f"`{at}` is missing; it must be {_KINDS[wanted]}", param=at)
    found = _KINDS.get(type(value), "a number")
    return InputError("invalid_type", f"`{at}` must be {_KINDS[wanted]}, not {found}", param=at)
