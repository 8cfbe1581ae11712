"""A hook that sees what people wrote before it is written anywhere, and returns what may be kept of it."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, TypeAlias, get_origin

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable

    from trimtab.events import Event

__all__ = ["CONTENT_FIELDS", "Redaction", "RedactionHook"]

RedactionHook: TypeAlias = "Callable[[dict[str, Any]], dict[str, Any]]"
"""Takes the content of one event and returns what is written in its place.

The fields are those of `CONTENT_FIELDS` that the event has and that are not empty; a field that is missing in the
returned dict is written empty. Called in the process that serves, for every event: it should take microseconds.
"""

CONTENT_FIELDS = ("variables", "messages", "output", "tool_calls", "comment", "attributes")
_TYPES: dict[str, Any] = {
    "variables": dict[str, Any],
    "messages": list[dict[str, Any]],
    "output": str,
    "tool_calls": list[dict[str, Any]],
    "comment": str,
    "attributes": dict[str, str],
}
_EMPTY: dict[str, Callable[[], Any]] = {name: get_origin(kind) or kind for name, kind in _TYPES.items()}


class Redaction:
    """Applies the hook. What it cannot be applied to is written without content: nothing passes by a broken hook."""

    __slots__ = ("_hook", "failures", "problem")

    def __init__(self, hook: RedactionHook) -> None:
        self._hook = hook
        self.failures = 0
        self.problem = ""
        """Why it last failed: the kind of the error and nothing of its text, which may quote the content."""

    def apply(self, event: Event) -> Event:
        """Return the event as it may be written."""
        fields = event.__struct_fields__
        content = {name: value for name in CONTENT_FIELDS if name in fields and (value := getattr(event, name))}
        if not content:
            return event
        try:
            # A copy: the messages still belong to the request, which may yet be sent to a candidate.
            returned = dict(self._hook(copy.deepcopy(content)))
            kept = {name: msgspec.convert(returned[name], _TYPES[name]) for name in content if name in returned}
        except Exception as error:  # noqa: BLE001 - the hook is the user's code, and content must not pass by it
            self.failures += 1
            self.problem = type(error).__name__
            kept = {"content_dropped": "redaction_failed"} if "content_dropped" in fields else {}
        emptied = {name: _EMPTY[name]() for name in content if name not in kept}
        return msgspec.structs.replace(event, **kept, **emptied)
