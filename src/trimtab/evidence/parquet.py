"""Tables to Parquet bytes and back. One place says how evidence is written."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from trimtab.evidence.objects import Objects

__all__ = ["ROW_GROUP", "ParquetBuffer", "open_file"]

ROW_GROUP = 8_192
"""Rows. Small, so that one generation is read without unpacking the text of its whole hour."""
_LEVEL = 3
_PLAIN_COLUMNS = frozenset({"id", "generation", "mirrors", "trace", "parent_span", "messages", "variables", "output"})
"""Hardly ever twice the same: a dictionary of them would only cost."""


class ParquetBuffer:
    """Writes one file in memory, table by table."""

    def __init__(self, schema: pa.Schema) -> None:
        self._sink = pa.BufferOutputStream()
        self._writer = pq.ParquetWriter(
            self._sink,
            schema,
            compression="zstd",
            compression_level=_LEVEL,
            use_dictionary=[name for name in schema.names if name not in _PLAIN_COLUMNS],
            write_statistics=True,
            write_page_index=True,
            data_page_size=128 * 1024,
        )
        self._waiting: list[pa.Table] = []
        self._waiting_rows = 0
        self.rows = 0
        self.oldest_ms = 1 << 62
        """Of the rows' own times, milliseconds since the Unix epoch."""
        self.newest_ms = 0

    def write(self, table: pa.Table) -> None:
        """Append rows; few at a time are gathered into whole row groups."""
        if not table.num_rows:
            return
        oldest, newest = _span_ms(table)
        self.oldest_ms, self.newest_ms = min(self.oldest_ms, oldest), max(self.newest_ms, newest)
        self.rows += table.num_rows
        self._waiting.append(table)
        self._waiting_rows += table.num_rows
        if self._waiting_rows >= ROW_GROUP:
            self._flush()

    def _flush(self) -> None:
        if self._waiting:
            self._writer.write_table(pa.concat_tables(self._waiting), row_group_size=ROW_GROUP)
            self._waiting, self._waiting_rows = [], 0

    def finish(self) -> pa.Buffer:
        """Return the file."""
        self._flush()
        self._writer.close()
        return self._sink.getvalue()


def open_file(objects: Objects, key: str) -> pq.ParquetFile:
    """Open a data file for reading. Raises `FileNotFoundError` where it is gone."""
    return pq.ParquetFile(f"{objects.root}/{key}", filesystem=objects.filesystem)


def _span_ms(table: pa.Table) -> tuple[int, int]:
    found = pc.min_max(table.column("began_at").cast(pa.int64()))
    return found["min"].as_py(), found["max"].as_py()
