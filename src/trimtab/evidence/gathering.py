"""Events on their way into files: columns as soon as they are read, by partition, each id once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from trimtab.evidence.layout import Partition, partition_of
from trimtab.evidence.parquet import open_file
from trimtab.evidence.tables import kind_of, table_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from trimtab.events import Event
    from trimtab.evidence.log import LiveFile
    from trimtab.evidence.objects import Objects

__all__ = ["Gathering", "each_once", "without_known"]


class Gathering:
    """Takes events a few thousand at a time.

    As objects they are large, and Python's collector walks them again and again where many are kept.
    """

    def __init__(self) -> None:
        self._tables: dict[Partition, list[pa.Table]] = {}

    def take(self, events: Sequence[Event]) -> None:
        """Add events."""
        by_partition: dict[Partition, list[Event]] = {}
        for event in events:
            by_partition.setdefault(partition_of(kind_of(event), event), []).append(event)
        for partition, found in by_partition.items():
            self._tables.setdefault(partition, []).append(table_of(partition.kind, found))

    def partitions(self) -> Iterator[tuple[Partition, pa.Table]]:
        """Yield what was gathered, by partition, each id once."""
        for partition in sorted(self._tables):
            yield partition, each_once(pa.concat_tables(self._tables[partition]))


def each_once(table: pa.Table) -> pa.Table:
    """Return a table without the rows whose id stands in an earlier one."""
    ids = table.column("id")
    if pc.count_distinct(ids).as_py() == table.num_rows:
        return table
    numbered = pa.table({"id": ids, "row": pa.array(range(table.num_rows), pa.int64())})
    first = numbered.group_by("id").aggregate([("row", "min")]).column("row_min")
    return table.take(first.take(pc.sort_indices(first)))


def without_known(objects: Objects, files: Sequence[LiveFile], table: pa.Table) -> pa.Table:
    """Return the rows whose ids are not in the files of their partition.

    Ids carry their time, so few row groups can hold the same ones: only those are read. Raises `OSError`.
    """
    ids = table.column("id")
    ends = pc.min_max(ids)
    first, last = ends["min"].as_py(), ends["max"].as_py()
    for file in files:
        if file.last_id and (file.last_id < first or file.first_id > last):
            continue
        with open_file(objects, file.key) as opened:
            meta = opened.metadata
            column = opened.schema_arrow.get_field_index("id")
            groups = []
            for number in range(meta.num_row_groups):
                found = meta.row_group(number).column(column).statistics
                if found is None or not found.has_min_max or (found.max >= first and found.min <= last):
                    groups.append(number)
            if groups:
                held = opened.read_row_groups(groups, columns=["id"]).column("id")
                table = table.filter(pc.invert(pc.is_in(table.column("id"), value_set=held.combine_chunks())))
        if not table.num_rows:
            break
    return table
