"""From what was found to a dataset: repetitions out, a sample that keeps its proportions, a split that never moves."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Literal

import msgspec

from trimtab.core.errors import InputError
from trimtab.evals.datasets.item import Item
from trimtab.evals.datasets.near_duplicates import near_duplicates

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Shape", "Shaped", "Split", "in_split", "shape", "split_share"]

Split = Literal["all", "train", "heldout"]
_SPLIT_SALT = "trimtab/split"
_SAMPLE_SALT = "trimtab/sample"


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of items before they are stored."""

    near: float | None = None
    """Jaccard similarity of word trigrams from which a question repeats an earlier one; `None` keeps all but exact."""
    size: int | None = None
    """At most so many items; all where `None`."""
    by: tuple[str, ...] = ()
    """Slices whose shares the sample keeps."""


class Shaped(msgspec.Struct, frozen=True, kw_only=True):
    """What is left, and what went."""

    items: list[Item]
    repeated: int
    """Asked exactly what an earlier item asks."""
    contradicting: int
    """Of those, how many gave another answer as the right one: the first stands."""
    near: int
    """Asked nearly what an earlier one asks."""
    left_out: int
    """Not drawn into the sample."""


def shape(items: Sequence[Item], wanted: Shape) -> Shaped:
    """Return the items of a dataset, in their order; the same items and wishes always give the same.

    Raises `InputError` for a threshold or a size that is none, for a slice that no item has, and for ids given twice.
    """
    _check(items, wanted)
    unique, repeated, contradicting = _without_repetitions(items)
    kept = unique
    if wanted.near is not None:
        repeats = near_duplicates([item.question for item in unique], threshold=wanted.near)
        kept = [item for item, earlier in zip(unique, repeats, strict=True) if earlier is None]
    drawn = kept if wanted.size is None else _sample(kept, wanted.size, wanted.by)
    return Shaped(
        items=drawn,
        repeated=repeated,
        contradicting=contradicting,
        near=len(unique) - len(kept),
        left_out=len(kept) - len(drawn),
    )


def _check(items: Sequence[Item], wanted: Shape) -> None:
    if wanted.near is not None and not 0.0 < wanted.near <= 1.0:
        raise InputError("invalid_near", f"a similarity of {wanted.near:g} is not in (0, 1]", param="near")
    if wanted.size is not None and wanted.size < 1:
        raise InputError("invalid_size", "a dataset has at least one item", param="sample")
    for name in wanted.by:
        if not any(name in item.slices for item in items):
            known = ", ".join(sorted({one for item in items for one in item.slices})) or "none"
            raise InputError("unknown_slice", f"no item has a slice `{name}`", param="by", hint=f"there are: {known}")


def _without_repetitions(items: Sequence[Item]) -> tuple[list[Item], int, int]:
    by_key: dict[str, Item] = {}
    ids: dict[str, str] = {}
    contradicting = 0
    for item in items:
        first = by_key.setdefault(item.key, item)
        if first is not item:
            contradicting += item.expected is not None and item.expected != first.expected
        elif ids.setdefault(item.id, item.key) != item.key:
            message = f"two items that ask different things are called `{item.id}`"
            raise InputError("duplicate_id", message, param=item.source or "id", hint="leave ids out to get them made")
    return list(by_key.values()), len(items) - len(by_key), contradicting


def _sample(items: Sequence[Item], size: int, by: Sequence[str]) -> list[Item]:
    """Draw by hash: who is drawn does not depend on who else is there, but for the seats of its stratum."""
    strata: dict[tuple[str, ...], list[Item]] = {}
    for item in items:
        strata.setdefault(tuple(item.slices.get(name, "") for name in by), []).append(item)
    seats = _seats({key: len(members) for key, members in strata.items()}, min(size, len(items)))
    drawn = {
        item.key
        for key, members in strata.items()
        for item in sorted(members, key=lambda item: (_draw(_SAMPLE_SALT, item.key), item.key))[: seats[key]]
    }
    return [item for item in items if item.key in drawn]


def _seats(sizes: dict[tuple[str, ...], int], total: int) -> dict[tuple[str, ...], int]:
    """Share out by largest remainders; where there are enough seats, everybody gets one."""
    everyone = sum(sizes.values())
    shares = {key: total * size / everyone for key, size in sizes.items()} if everyone else {}
    least = 1 if total >= len(sizes) else 0
    seats = {key: max(least, int(share)) for key, share in shares.items()}
    ranked = sorted(shares, key=lambda key: (seats[key] - shares[key], key))
    while sum(seats.values()) < total:
        for key in ranked:
            if sum(seats.values()) < total and seats[key] < sizes[key]:
                seats[key] += 1
    while sum(seats.values()) > total:  # the guaranteed seats were too many: the best-served give one back
        largest = max((key for key in seats if seats[key] > least), key=lambda key: (seats[key] - shares[key], key))
        seats[largest] -= 1
    return seats


def in_split(item: Item, split: Split, *, heldout: float = 0.5) -> bool:
    """Return whether an item is in a split. Decided by a hash of its group, or of itself: it never moves.

    Items of one group are on one side: what was improved on one question about a document must not be judged by another
    question about it. `heldout` is the share that is held out.
    """
    if split == "all":
        return True
    return (split_share(item) < heldout) == (split == "heldout")


def split_share(item: Item) -> float:
    """Return the number in [0, 1) that decides: items below the held-out share are held out."""
    return _draw(_SPLIT_SALT, item.group or item.key)


def _draw(salt: str, text: str) -> float:
    digest = hashlib.sha256(f"{salt}\x1f{text}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
