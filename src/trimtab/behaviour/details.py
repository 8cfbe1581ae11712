"""What exactly changed, where a detector only says that something is not as usual."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import msgspec

from trimtab.behaviour.model import Expected
from trimtab.behaviour.reading import Reading, type_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from trimtab.behaviour.findings import Finding
    from trimtab.behaviour.model import Pair

__all__ = ["detailed"]


def _keys(reading: Reading) -> str | None:
    return None if reading.object is None else "{" + ", ".join(sorted(reading.object)) + "}"


def _order(reading: Reading) -> str | None:
    return None if reading.object is None else "{" + ", ".join(reading.object) + "}"


def _types(reading: Reading) -> str | None:
    if reading.object is None:
        return None
    return f"{{{_typed(reading.object)}}}"


def _arguments(reading: Reading) -> str | None:
    return "; ".join(f"{call.name}({', '.join(sorted(call.arguments or ()))})" for call in reading.calls) or None


def _argument_types(reading: Reading) -> str | None:
    return "; ".join(f"{call.name}({_typed(call.arguments or {})})" for call in reading.calls) or None


def _typed(values: dict[str, Any]) -> str:
    return ", ".join(f"{key}: {type_name(value)}" for key, value in sorted(values.items()))


def _cases(reading: Reading) -> str | None:
    return ", ".join(f"{key}: {case}" for key, case in sorted(set(reading.words))) or None


_FORMS: dict[str, Callable[[Reading], str | None]] = {
    "answer.opening": lambda reading: repr(reading.opening),
    "answer.ending": lambda reading: repr(reading.ending),
    "answer.language": lambda reading: reading.language or None,
    "json.enum_case": _cases,
    "json.keys": _keys,
    "json.key_order": _order,
    "json.types": _types,
    "tool.arguments": _arguments,
    "tool.argument_types": _argument_types,
}
_LONGEST = 100


def detailed(findings: Iterable[Finding], pairs: Sequence[Pair]) -> list[Finding]:
    """Return findings; flagged ones of "not as usual" say what is most common on either side."""
    return [
        msgspec.structs.replace(one, detail=_detail(_FORMS[one.detector], pairs))
        if one.flagged and one.detector in _FORMS
        else one
        for one in findings
    ]


def _detail(form: Callable[[Reading], str | None], pairs: Sequence[Pair]) -> str:
    """The commonest way in which pairs moved."""
    expected = Expected()
    moves = Counter(
        (old, new)
        for pair in pairs
        if (old := form(Reading(pair.old, expected))) != (new := form(Reading(pair.new, expected)))
        and old is not None
        and new is not None
    )
    if not moves:
        return ""
    old, new = min(moves, key=lambda one: (-moves[one], one))
    said = f"most often {old[:_LONGEST]} → {new[:_LONGEST]}"
    return said.encode(errors="replace").decode()  # a key may hold half a surrogate pair
