"""Requests that use every field of an API, one at a time, made from the type definitions of its own client library.

Not a test module: tests load it by its path (`load_cases` in the tests beside it shows how).
"""

from __future__ import annotations

import collections.abc
import re
import types
import typing
from typing import Any, Literal, NamedTuple

import typing_extensions
from typing_extensions import is_typeddict

if typing.TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MARKER = "a-marker"
ABSENT: Any = object()
_TEXTS = {"arguments": f'{{"key": "{MARKER}"}}', "url": f"https://example.com/{MARKER}.png"}
"""Fields whose strings have a form of their own."""
_NEEDED = frozenset({"schema"})
"""Fields that are optional by their type alone."""
_SCALARS: dict[Any, tuple[Any, ...]] = {
    str: (MARKER,),
    int: (3,),
    float: (0.5,),
    bool: (True, False),
    object: (MARKER,),
}


class Case(NamedTuple):
    """One field, given."""

    path: str
    """`messages[0].content[0].cache_control.ttl`."""
    value: Any
    body: dict[str, Any]
    """A complete request that gives the field."""
    without: Any
    """The same request without it; `ABSENT` where the API requires the field."""


def cases_of(parameters: Any, base: Mapping[str, Any], last_message: Mapping[str, Any]) -> list[Case]:
    """Return a case for each field of a request's TypedDict, however deep, and for each of its alternatives.

    `base` holds what every request needs; `last_message` follows the message that a case is about.
    """
    cases = []
    for name, kind, _ in _fields(parameters):
        for suffix, value, given, without in _variants(kind):
            bodies = [
                {**base, name: [*held, last_message] if name == "messages" else held} if held is not ABSENT else ABSENT
                for held in (given, without)
            ]
            if without is ABSENT and name not in base:
                bodies[1] = dict(base)
            cases.append(Case(name + suffix, value, bodies[0], bodies[1]))
    return cases


def is_kind(path: str) -> bool:
    """Return whether a field says what kind of thing its holder is, and nothing beside."""
    return path.endswith((".type", ".role"))


def names(param: str | None, path: str) -> bool:
    """Return whether an error's `param` names the field at `path`: itself, what holds it, or the kind of its holder.

    A field that is itself the kind of its holder is named by whatever the holder has of that kind.
    """
    if param is None:
        return False
    if is_kind(path) and _is_below(param, path.rpartition(".")[0]):
        return True
    return _is_below(path, param.rpartition(".")[0] if is_kind(param) else param)


def _is_below(path: str, holder: str) -> bool:
    return re.match(re.escape(holder) + r"($|[.\[])", path) is not None


def _variants(kind: Any) -> Iterator[tuple[str, Any, Any, Any]]:
    """Yield (path below, value there, whole value, whole value without it)."""
    kind = _bare(kind)
    if kind in _SCALARS:
        for value in _SCALARS[kind]:
            yield "", value, value, ABSENT
    elif is_typeddict(kind):
        least = _least(kind)
        for name, field, required in _fields(kind):
            if name in _TEXTS and _bare(field) is str:
                yield f".{name}", _TEXTS[name], {**least, name: _TEXTS[name]}, ABSENT if required else least
                continue
            for suffix, value, given, without in _variants(field):
                rest = {**least, name: without} if without is not ABSENT else ABSENT if required else least
                yield f".{name}{suffix}", value, {**least, name: given}, rest
    else:
        yield from _variants_of_generic(kind)


def _variants_of_generic(kind: Any) -> Iterator[tuple[str, Any, Any, Any]]:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in {typing.Union, types.UnionType}:
        for member in arguments:
            yield from _variants(member)
    elif origin in {Literal, typing_extensions.Literal}:
        for value in arguments:
            yield "", value, value, ABSENT
    elif origin is dict:
        yield "", MARKER, {"key": MARKER}, ABSENT
    elif _is_array(kind):
        for suffix, value, given, without in _variants(arguments[0]):
            yield f"[0]{suffix}", value, [given], ABSENT if without is ABSENT else [without]


def _least(kind: Any) -> Any:
    """Return the smallest value of a type."""
    kind = _bare(kind)
    if is_typeddict(kind):
        return {
            name: _TEXTS[name] if name in _TEXTS and _bare(field) is str else _least(field)
            for name, field, required in _fields(kind)
            if required
        }
    if typing.get_origin(kind) in {typing.Union, types.UnionType}:
        return next(_least(member) for member in typing.get_args(kind) if _is_json(member))
    if _is_array(kind):
        return [_least(typing.get_args(kind)[0])]
    return next(whole for _, _, whole, _ in _variants(kind))


def _is_array(kind: Any) -> bool:
    origin = typing.get_origin(kind)
    return isinstance(origin, type) and (
        issubclass(origin, list | collections.abc.Iterable) or origin.__name__ == "SequenceNotStr"
    ) and origin is not dict  # fmt: skip


def _is_json(kind: Any) -> bool:
    kind = _bare(kind)
    return kind in _SCALARS or is_typeddict(kind) or typing.get_origin(kind) is not None


def _fields(kind: Any) -> list[tuple[str, Any, bool]]:
    hints = typing.get_type_hints(kind, include_extras=True)
    return [(name, hint, name in _NEEDED or typing.get_origin(hint) in _REQUIRED) for name, hint in hints.items()]


_REQUIRED = {typing.Required, typing_extensions.Required}


def _bare(kind: Any) -> Any:
    while typing.get_origin(kind) in {*_REQUIRED, typing.Annotated}:
        kind = typing.get_args(kind)[0]
    return kind
