"""What must be forgotten: which events are one user's."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from trimtab.events import Event

__all__ = ["Erasure", "Forgetter", "unit_key"]


class Erasure(msgspec.Struct, frozen=True):
    """A user who asked to be forgotten; what they did later is theirs to ask for again."""

    key: str
    """`unit_key` of the user: the log of what was erased must not itself name anybody."""
    before_ms: int
    salt: str = ""
    """Key of the hash, in hex; empty in logs of earlier versions."""


def unit_key(unit: str, salt: str) -> str:
    """Return what stands for a user: a hash under a key, so that no table of hashes made beforehand tells who it is."""
    return hashlib.blake2b(unit.encode("utf-8", "surrogatepass"), digest_size=16, key=bytes.fromhex(salt)).hexdigest()


class Forgetter:
    """Leaves out what is erased users', and what is said about their generations later than it met those."""

    def __init__(self) -> None:
        self.theirs: dict[str, str] = {}
        """By the ids of erased users' events that it met: the key of whose they are."""
        self.left_out: Counter[str] = Counter()
        """By key of a user: events that got into no file, until somebody told of them."""

    def learn(self, events: Sequence[Event], erasures: Sequence[Erasure]) -> None:
        """Meet erased users' events, so that what stands before them and is about them is known as well."""
        whose = _judge(erasures)
        self.theirs |= {event.id: key for event in events if (key := whose(event))}

    def left(self, events: Sequence[Event], erasures: Sequence[Erasure]) -> Sequence[Event]:
        """Return the events without those of erased users, and without what was said about their generations."""
        if not erasures:
            return events
        self.learn(events, erasures)
        kept = []
        for event in events:
            key = self.theirs.get(event.id) or self.theirs.get(getattr(event, "generation", ""))
            if key:
                self.left_out[key] += 1
            else:
                kept.append(event)
        return kept


def _judge(erasures: Sequence[Erasure]) -> Callable[[Event], str]:
    """Return what tells whose an event is, by key: empty where it is of nobody who is to be forgotten."""
    before: dict[str, dict[str, int]] = {}
    for erasure in erasures:
        known = before.setdefault(erasure.salt, {})
        known[erasure.key] = max(erasure.before_ms, known.get(erasure.key, 0))

    def whose(event: Event) -> str:
        unit = getattr(event, "unit", "")
        keys = ((unit_key(unit, salt), known) for salt, known in before.items()) if unit else ()
        return next((key for key, known in keys if event.at_ms < known.get(key, 0)), "")

    return whose
