"""What keeps evidence small, young and lawful: merging small files, retention, erasure.

Each step is one commit of the log, so that it is done or not; killed between two, the next run goes on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from trimtab.core.errors import StorageError
from trimtab.evidence.erasure import Erasure, unit_key
from trimtab.evidence.parquet import ParquetBuffer, in_order, open_file, row_group
from trimtab.evidence.tables import default_of, schema_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import pyarrow.parquet as pq

    from trimtab.evidence.compactor import Compactor
    from trimtab.evidence.log import LiveFile

__all__ = ["FINAL_LEVEL", "erase", "fan_in", "merge", "retain"]

_FAN_IN = {"generations": 12}
"""Files of one level that become one of the next while their hour fills: each row is written four times."""
_FAN_IN_ELSE = 4
"""What has no text is soon written again, and every file that is opened costs a question half a millisecond."""
_LARGEST_BYTES = 64 * 1024 * 1024
"""What is merged is put in order in memory, some five times as large."""
_SETTLED_MS = 10 * 60_000
"""How long after its end an hour is merged for good: stragglers have come by then."""
FINAL_LEVEL = 9
_ERASURES_KEPT_MS = 90 * 24 * 3_600_000


def merge(compactor: Compactor, *, limit: int = 20) -> int:
    """Merge small files, at most `limit` times; returns how many files there are less."""
    fewer = 0
    for group in _groups(compactor)[:limit]:
        _rewrite(compactor, group, level=_level_after(group, compactor.now_ms))
        fewer += len(group) - 1
    return fewer


def retain(compactor: Compactor, *, older_than_ms: int) -> int:
    """Drop every hour that ended before a moment; returns how many events that were."""
    old = [file for file in compactor.state.files.values() if file.partition.end_ms <= older_than_ms]
    if old:
        compactor.commit(remove=[file.key for file in old])
    return sum(file.rows for file in old)


def erase(compactor: Compactor, unit: str, *, before_ms: int | None = None, salt: str = "") -> int:
    """Remove a user: what is in files, and what is still in journals when it gets here. Returns rows removed.

    `before_ms`: what they did from then on stays; milliseconds since the Unix epoch, now where it is not given. `salt`:
    key of the hash that stands for them in the log.
    Shadows of the user's requests and scores and feedback about their generations go with them. Comes true file by
    file; a killed erasure is taken up by asking again.
    """
    before_ms = compactor.now_ms if before_ms is None else before_ms
    while compactor.run().more:  # into files, where what was said about a generation is found however late it came
        pass
    erasure = Erasure(unit_key(unit, salt), before_ms, salt)
    if erasure not in compactor.state.erasures:
        compactor.commit(erase=[erasure])
    removed = sum(_erase_hour(compactor, hour_ms, unit, before_ms) for hour_ms in _hours(compactor))
    return removed + compactor.forgetter.left_out.pop(erasure.key, 0)  # where it was in force before they were moved


def settle_erasures(compactor: Compactor) -> None:
    """Forget erasures of whose users no journal can hold anything any more."""
    done = [one for one in compactor.state.erasures if one.before_ms < compactor.now_ms - _ERASURES_KEPT_MS]
    if done:
        compactor.commit(settled=done)


def _hours(compactor: Compactor) -> list[int]:
    return sorted({file.hour_ms for file in compactor.state.files.values()})


def _erase_hour(compactor: Compactor, hour_ms: int, unit: str, before_ms: int) -> int:
    """Everything about one generation lies in its own hour, so an hour is erased by itself.

    Generations go last: killed before, the next attempt still finds by them what was said about them.
    """
    here = [file for file in compactor.state.files.values() if file.hour_ms == hour_ms]
    told = [file for file in here if file.kind == "generations"]
    moment = pa.scalar(before_ms, pa.timestamp("ms", tz="UTC"))
    met = sorted(compactor.forgetter.theirs)  # left out of files, but what was said about them may be there
    ids: list[pa.Array] = [pa.array(met, pa.string())] if met else []

    def theirs(table: pa.Table) -> pa.Array:
        mask = pa.array([False] * table.num_rows)
        if "unit" in table.schema.names:
            mask = pc.and_(pc.equal(table.column("unit"), unit), pc.less(table.column("began_at"), moment))
        if "generation" in table.schema.names and ids:
            mask = pc.or_(mask, pc.is_in(table.column("generation"), value_set=pa.concat_arrays(ids)))
        return mask

    for file in told:
        narrow = _narrow(compactor, file)
        ids.append(narrow.column("id").filter(theirs(narrow)).combine_chunks())
    removed = 0
    for file in [*(one for one in here if one.kind != "generations"), *told]:
        hit = pc.sum(theirs(_narrow(compactor, file))).as_py() or 0
        if hit:
            removed += hit
            _rewrite(compactor, [file], level=file.level, drop=theirs)
    return removed


def _narrow(compactor: Compactor, file: LiveFile) -> pa.Table:
    """Return the columns of a file that tell whose its rows are."""
    with _opened(compactor, file) as opened:
        there = opened.schema_arrow.names
        return opened.read(columns=[name for name in ("id", "unit", "generation", "began_at") if name in there])


def _groups(compactor: Compactor) -> list[list[LiveFile]]:
    """Return what is to be merged: closed hours whole, open ones level by level, as far as files stay small."""
    found: list[list[LiveFile]] = []
    for partition, unordered in sorted(compactor.state.by_partition().items()):
        files = sorted(unordered, key=lambda file: (file.oldest_ms, file.key))
        if partition.end_ms + _SETTLED_MS <= compactor.now_ms:
            rough = [file for file in files if file.level < FINAL_LEVEL or file.size < _LARGEST_BYTES // 2]
            found += [group for group in _batches(rough) if len(group) > 1 or group[0].level < FINAL_LEVEL]
        else:
            for level in range(FINAL_LEVEL):
                same = [file for file in files if file.level == level]
                found += [group for group in _batches(same) if len(group) >= fan_in(partition.kind)]
    return found


def fan_in(kind: str) -> int:
    """Return how many files of one level become one while their hour fills."""
    return _FAN_IN.get(kind, _FAN_IN_ELSE)


def _batches(files: Sequence[LiveFile]) -> Iterator[list[LiveFile]]:
    batch: list[LiveFile] = []
    weight = 0
    for file in files:
        if batch and weight + _packed_bytes(file) > _LARGEST_BYTES:
            yield batch
            batch, weight = [], 0
        batch.append(file)
        weight += _packed_bytes(file)
    if batch:
        yield batch


def _packed_bytes(file: LiveFile) -> int:
    """Return about how large a file is when it is merged for good."""
    return file.size if file.level == FINAL_LEVEL else file.size // 2


def _level_after(group: Sequence[LiveFile], now_ms: int) -> int:
    closed = group[0].partition.end_ms + _SETTLED_MS <= now_ms
    return FINAL_LEVEL if closed else max(file.level for file in group) + 1


def _rewrite(
    compactor: Compactor,
    files: Sequence[LiveFile],
    *,
    level: int,
    drop: Callable[[pa.Table], pa.Array] | None = None,
) -> None:
    """Write the rows of some files of one partition into one. Those of an hour that is over are put in order."""
    kind = files[0].kind
    buffer = ParquetBuffer(kind, final=level == FINAL_LEVEL)
    rows = _rows(compactor, files, drop)
    if any(file.level < level == FINAL_LEVEL for file in files):
        rows = in_order(kind, pa.concat_tables(rows).combine_chunks())
    for table in rows:
        buffer.write(table)
    compactor.replace(files, buffer, level=level)


def _rows(
    compactor: Compactor, files: Sequence[LiveFile], drop: Callable[[pa.Table], pa.Array] | None
) -> Iterator[pa.Table]:
    """Yield the rows of files of one partition, row group by row group: memory stays bounded."""
    for file in files:
        with _opened(compactor, file) as opened:
            for batch in opened.iter_batches(batch_size=row_group(file.kind)):
                table = _widened(pa.Table.from_batches([batch]), file.kind)
                yield table if drop is None else table.filter(pc.invert(drop(table)))


def _opened(compactor: Compactor, file: LiveFile) -> pq.ParquetFile:
    """Open a file that the log names; raises `FencedError` where it is another's by now, and `StorageError`."""
    try:
        return open_file(compactor.objects, file.key)
    except FileNotFoundError as error:
        compactor.log.must_count()
        raise StorageError(
            "missing_file",
            f"the evidence log names {file.key}, which is not there",
            param=file.key,
            hint="was it deleted by hand? restore it from a backup, or from the bucket's versions",
        ) from error


def _widened(table: pa.Table, kind: str) -> pa.Table:
    """Return a table of an earlier version with the columns of this one: those it lacks hold their default."""
    schema = schema_of(kind)
    for field in schema:
        if field.name not in table.schema.names:
            table = table.append_column(
                field, pa.repeat(pa.scalar(default_of(kind, field.name), field.type), len(table))
            )
    return table.select(schema.names).cast(schema)
