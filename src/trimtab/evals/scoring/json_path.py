"""JSONPath (RFC 9535) without filters, slices and descent: names, indexes and wildcards."""

from __future__ import annotations

import re
from typing import Any

from trimtab.core.errors import InputError

__all__ = ["find_all", "parse_path"]

_STEP = re.compile(
    r"""\.(?P<name>[A-Za-z_\u0080-\U0010FFFF][\w\u0080-\U0010FFFF-]*)|\.(?P<star>\*)"""
    r"""|\[(?:(?P<index>-?\d+)|(?P<any>\*)|'(?P<single>(?:[^'\\]|\\.)*)'|"(?P<double>(?:[^"\\]|\\.)*)")\]"""
)
_ESCAPE = re.compile(r"\\(.)")


class _Every:
    """A wildcard."""


_EVERY = _Every()
Step = str | int | _Every


def parse_path(path: str) -> list[Step]:
    """Return the steps of a path such as `$.items[0].name` or `$['a b'][*]`; raises `InputError` (`invalid_path`)."""
    if not path.startswith("$"):
        raise InputError("invalid_path", f"`{path}` is no JSONPath", param=path, hint="it begins with `$`")
    steps: list[Step] = []
    position = 1
    while position < len(path):
        match = _STEP.match(path, position)
        if match is None:
            message = f"`{path[position:]}` of `{path}` is not understood"
            hint = "names, indexes and `*` are: $.items[0].name, $['a b'], $.items[*]"
            raise InputError("invalid_path", message, param=path, hint=hint)
        steps.append(_step(match))
        position = match.end()
    return steps


def _step(match: re.Match[str]) -> Step:
    if match["index"] is not None:
        return int(match["index"])
    if match["star"] or match["any"]:
        return _EVERY
    quoted = match["single"] if match["single"] is not None else match["double"]
    return match["name"] if quoted is None else _ESCAPE.sub(r"\1", quoted)


def find_all(value: Any, steps: list[Step]) -> list[Any]:  # noqa: ANN401 - any JSON value
    """Return what a path leads to; empty where nothing is there."""
    found = [value]
    for step in steps:
        found = [below for one in found for below in _below(one, step)]
    return found


def _below(value: Any, step: Step) -> list[Any]:  # noqa: ANN401 - any JSON value
    if isinstance(step, _Every):
        return list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
    if isinstance(step, int):
        return [value[step]] if isinstance(value, list) and -len(value) <= step < len(value) else []
    return [value[step]] if isinstance(value, dict) and step in value else []
