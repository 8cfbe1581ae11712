"""Whether anything that a request says is missing from another: computed from the two, whatever they are.

Not a test module.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["vanished"]

_KINDS = frozenset({"role", "type"})
"""Keys whose values are words of their own format for the same thing, but for those of a choice of tools."""
_SAME_WORDS = {"any": "required", "tool": "function"}
_OPPOSITE = "disable_parallel_tool_use"
_DATA = re.compile(r"data:(image/[a-z]+);base64,(.*)")


def vanished(said: Any, arrived: Any, implied: Sequence[Any] = ()) -> list[str]:
    """Return each text, number and boolean that `said` has more often than `arrived` and `implied` together."""
    return sorted((_values(said) - _values(arrived) - _values(list(implied))).elements())


def _values(value: Any, key: str = "") -> Counter[str]:
    found: Counter[str] = Counter()
    match value:
        case dict():
            for name, item in value.items():
                told = (not item) if name == _OPPOSITE else item
                found += _values(told, key if (key, name) == ("tool_choice", "type") else name)
        case list():
            for item in value:
                found += _values(item, key)
        case str() if key == "arguments" and value.startswith("{"):
            found += _values(json.loads(value))
        case str() if match := _DATA.fullmatch(value):
            found.update(match.groups())
        case None:
            pass
        case _ if key not in _KINDS:
            found[_SAME_WORDS.get(value, value) if isinstance(value, str) else json.dumps(value)] += 1
    return found
