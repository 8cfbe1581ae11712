"""Tables to Parquet bytes and back. One place says how evidence is written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from trimtab.evidence.summaries import SUMMARISED, SUMMARY_SCHEMA, summarise
from trimtab.evidence.tables import schema_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trimtab.evidence.objects import Objects

__all__ = ["ParquetBuffer", "in_order", "open_file", "row_group"]

_ROW_GROUP = {"generations": 2_048}
"""Rows. One generation costs the unpacking of its group's text, some 5 MB; the text of one group is one page, which
zstd packs smaller than pages of 128 KB. Other kinds hold no text to speak of."""
_ROW_GROUP_ELSE = 16_384
_ORDER = {
    "generations": ("feature", "release_number", "arm", "began_at", "id"),
    "scores": ("generation", "began_at", "id"),
    "feedback": ("generation", "began_at", "id"),
}
"""Of a merged hour: whoever asks for one feature or release reads its row groups alone, and like text packs better."""
_ORDER_ELSE = ("began_at", "id")
_SUMMARISED = (*SUMMARISED, "began_at", "latency_ms", "cost_usd")
_PAGE_BYTES = 64 * 1024 * 1024
"""A page ends with its row group."""
_PACKED: dict[str, Any] = {"compression": "zstd", "compression_level": 3}
"""Twice the effort (level 6) makes files a twentieth smaller."""
_PACKED_SOON: dict[str, Any] = {"compression": "snappy"}
"""Of what is merged again within the hour: twice as large, and it costs half to write and to read."""
_PLAIN_COLUMNS = frozenset({"id", "generation", "mirrors", "trace", "parent_span", "messages", "variables", "output"})
"""Hardly ever twice the same: a dictionary of them would only cost."""


def in_order(kind: str, table: pa.Table) -> Iterator[pa.Table]:
    """Yield the rows of a merged hour in their order, a row group at a time."""
    names = _ORDER.get(kind, _ORDER_ELSE)
    order = pc.sort_indices(table.select(names), sort_keys=[(name, "ascending") for name in names])
    for start in range(0, table.num_rows, row_group(kind)):
        yield table.take(order.slice(start, row_group(kind)))


def row_group(kind: str) -> int:
    """Return how many rows of a kind stand together."""
    return _ROW_GROUP.get(kind, _ROW_GROUP_ELSE)


class ParquetBuffer:
    """Writes one file in memory, table by table."""

    def __init__(self, kind: str, *, final: bool = True) -> None:
        """`final`: what is not soon merged again is packed with more care, and generations are summarised."""
        self._sink = pa.BufferOutputStream()
        self._writer = _writer(self._sink, schema_of(kind), _PACKED if final else _PACKED_SOON)
        self._seen: list[pa.Table] | None = [] if final and kind == "generations" else None
        self._group = row_group(kind)
        self._waiting: list[pa.Table] = []
        self._waiting_rows = 0
        self.rows = 0
        self.oldest_ms = 1 << 62
        """Of the rows' own times, milliseconds since the Unix epoch."""
        self.newest_ms = 0
        self.first_id = ""
        """In the order of text."""
        self.last_id = ""

    def write(self, table: pa.Table) -> None:
        """Append rows; few at a time are gathered into whole row groups."""
        if not table.num_rows:
            return
        times = pc.min_max(table.column("began_at").cast(pa.int64()))
        ids = pc.min_max(table.column("id"))
        first, last = ids["min"].as_py(), ids["max"].as_py()
        self.oldest_ms, self.newest_ms = (
            min(self.oldest_ms, times["min"].as_py()),
            max(self.newest_ms, times["max"].as_py()),
        )
        self.first_id, self.last_id = min(self.first_id, first) if self.rows else first, max(self.last_id, last)
        self.rows += table.num_rows
        if self._seen is not None:
            self._seen.append(table.select(_SUMMARISED))
        self._waiting.append(table)
        self._waiting_rows += table.num_rows
        whole = self._waiting_rows - self._waiting_rows % self._group
        if whole:
            waiting = pa.concat_tables(self._waiting)
            self._writer.write_table(waiting.slice(0, whole), row_group_size=self._group)
            self._waiting_rows -= whole
            self._waiting = [waiting.slice(whole)] if self._waiting_rows else []

    def finish(self) -> pa.Buffer:
        """Return the file."""
        if self._waiting:
            self._writer.write_table(pa.concat_tables(self._waiting), row_group_size=self._group)
        self._writer.close()
        return self._sink.getvalue()

    def summary(self) -> pa.Buffer | None:
        """Return the file's summary, which is a file as well; `None` where it has none."""
        if self._seen is None:
            return None
        sink = pa.BufferOutputStream()
        with _writer(sink, SUMMARY_SCHEMA, _PACKED) as writer:
            writer.write_table(summarise(pa.concat_tables(self._seen)))
        return sink.getvalue()


def _writer(sink: pa.BufferOutputStream, schema: pa.Schema, packed: dict[str, Any]) -> pq.ParquetWriter:
    return pq.ParquetWriter(
        sink,
        schema,
        use_dictionary=[name for name in schema.names if name not in _PLAIN_COLUMNS],
        write_statistics=True,
        data_page_size=_PAGE_BYTES,
        **packed,
    )


def open_file(objects: Objects, key: str) -> pq.ParquetFile:
    """Open a data file for reading. Raises `FileNotFoundError` where it is gone."""
    return pq.ParquetFile(f"{objects.root}/{key}", filesystem=objects.filesystem)
