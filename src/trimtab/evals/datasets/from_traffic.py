"""Items from what was recorded: generations, and what users said of them."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from trimtab.evals.datasets.item import Item, item_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from trimtab.events import Generation

__all__ = ["group_of", "item_of", "items_of"]

_GROUP_DIGITS = 12
_FIRST_ROLES = frozenset({"system", "developer"})


def items_of(
    generations: Iterable[Generation],
    *,
    own_messages: Callable[[str], int | None],
    signals: Mapping[str, float] | None = None,
) -> tuple[list[Item], int]:
    """Return the items of generations, and how many gave none because their content was not captured.

    `own_messages` tells how many messages a release's prompt has, by the release's digest, so that an item holds what
    the caller said and any release can be asked it; `None` for releases that are not known. `signals` are values of
    feedback by generation.
    """
    found = [item_of(one, own=own_messages(one.release), signal=(signals or {}).get(one.id)) for one in generations]
    items = [item for item in found if item is not None]
    return items, len(found) - len(items)


def item_of(generation: Generation, *, own: int | None, signal: float | None = None) -> Item | None:
    """Return the item of a generation, `None` where nothing was captured that could be asked again."""
    said = _callers_messages(generation.messages, own)
    if not said and not generation.variables:
        return None
    slices = {**generation.attributes, "release": f"{generation.feature}#{generation.release_number}"}
    if signal is not None:
        slices["feedback"] = f"{signal:g}"
    return Item(
        id=item_key(generation.variables, said),
        variables=generation.variables,
        messages=said,
        reference=generation.output,
        group=group_of(generation.unit),
        slices=slices,
        at_ms=generation.at_ms,
        source=generation.id,
    )


def _callers_messages(messages: list[dict[str, Any]], own: int | None) -> list[dict[str, Any]]:
    if own is not None:
        return messages[own:]
    for index, message in enumerate(messages):
        if message.get("role") not in _FIRST_ROLES:
            return messages[index:]
    return []


def group_of(unit: str) -> str:
    """Return what stands for a user in items: users are groups, and a dataset need not know who they are."""
    return hashlib.sha256(unit.encode("utf-8", "surrogatepass")).hexdigest()[:_GROUP_DIGITS] if unit else ""
