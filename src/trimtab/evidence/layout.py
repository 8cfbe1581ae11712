"""Where evidence lies: Hive partitions by the hour of the generation that an event is about.

    generations/date=2026-11-25/hour=22/3fa94c1b-0000000042-0.parquet

Scores and feedback lie in the partition of their generation, however late they come: whoever looks at an hour finds
everything that was ever said about it, and the two are joined without leaving it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING

import msgspec

from trimtab.events.model import subject_time_ms

if TYPE_CHECKING:
    from trimtab.events import Event

__all__ = ["Partition", "Span", "data_key", "partition_at", "partition_of", "summary_key"]

_HOUR_MS = 3_600_000
Span = tuple[int, int]
"""From, and up to but without: milliseconds since the Unix epoch."""
_FARTHEST_MS = 400 * 24 * _HOUR_MS
"""An id further than this from its event's own time is not believed: anybody may make one up."""


class Partition(msgspec.Struct, frozen=True, order=True):
    """One hour, in UTC, of one kind of event."""

    kind: str
    hour_ms: int
    """Where it begins, milliseconds since the Unix epoch."""

    @property
    def path(self) -> str:
        """Its folder, relative to the root."""
        begin = datetime.fromtimestamp(self.hour_ms / 1000, UTC)
        return f"{self.kind}/date={begin:%Y-%m-%d}/hour={begin:%H}"

    @property
    def end_ms(self) -> int:
        """Where the next one begins."""
        return self.hour_ms + _HOUR_MS


def partition_at(kind: str, at_ms: int) -> Partition:
    """Return the partition that a moment falls into; moments that no calendar has fall into the first or last hour."""
    bounded = min(max(at_ms, 0), 253_402_300_799_000)
    return _partition(kind, bounded - bounded % _HOUR_MS)


_partition = lru_cache(1024)(Partition)


def partition_of(kind: str, event: Event) -> Partition:
    """Return the partition an event lies in."""
    about_ms = subject_time_ms(event)
    return partition_at(kind, about_ms if abs(about_ms - event.at_ms) <= _FARTHEST_MS else event.at_ms)


def data_key(partition: Partition, writer: str, commit: int, level: int) -> str:
    """Return the key of the file that a commit writes into a partition: level 0 from journals, others by merging."""
    return f"{partition.path}/{writer}-{commit:010d}-{level}.parquet"


def summary_key(key: str) -> str:
    """Return the key of the summary of a data file."""
    return f"summaries/{key.partition('/')[2]}"
