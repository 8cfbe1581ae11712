"""The redaction hook of the gateway, applied to items before they are stored."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import msgspec

from trimtab.analysis.foreign import ForeignCode
from trimtab.core.errors import InputError
from trimtab.evals.datasets.item import Item

if TYPE_CHECKING:
    from trimtab.serving.redaction import RedactionHook

__all__ = ["redacted"]


def redacted(item: Item, hook: RedactionHook) -> Item:
    """Return an item as it may be kept. The hook sees variables, messages, attributes (slices) and output (reference).

    What it leaves out is empty afterwards. Raises `InputError` (`redaction_failed`) where it fails: nothing passes.
    """
    content: dict[str, Any] = {
        "variables": item.variables,
        "messages": item.messages,
        "attributes": item.slices,
        "output": item.reference,
    }
    given = {name: value for name, value in content.items() if value}
    with ForeignCode() as call:
        returned = dict(hook(copy.deepcopy(given)))
        changed = {
            "variables": returned.get("variables", {}),
            "messages": returned.get("messages", []),
            "slices": returned.get("attributes", {}),
            "reference": returned.get("output", ""),
        }
        return msgspec.convert({**msgspec.to_builtins(item), **changed}, Item)
    # the kind of the error and nothing of its text, which may quote the content
    message = f"the redaction hook failed with {type(call.error).__name__}; nothing was stored"
    raise InputError("redaction_failed", message, param=item.source or item.id)
