"""Memory that outlives its process: a preallocated file, mapped, into which events are copied as they happen.

Killing the process loses nothing that was committed, for the kernel owns the pages. Two halves take turns: one fills
while the other is compressed and fsynced.

    page 0: words of u64, in native byte order: 0 magic | 1 bytes of a half
            | 8 committed bytes, 9 first sequence of half 0 | 16 committed bytes, 17 first sequence of half 1
    then half 0, then half 1: records

A record is length u32 | CRC-32 u32 | bytes. The checksum starts from the record's sequence number, so that neither a
record cut short nor one left by an earlier use of the half is ever taken for one that was committed: after a power cut,
pages come back from different moments.

The committed length is stored after the record, by one aligned 8-byte store. `struct.pack_into` would not do: it zeroes
its target first, and a process killed at that moment would have committed nothing at all.
"""

from __future__ import annotations

import errno
import mmap
import os
import struct
from typing import TYPE_CHECKING, Final, NamedTuple
from zlib import crc32

import msgspec

from trimtab.core.errors import InputError, StorageError
from trimtab.core.ids import id_time_ms
from trimtab.events import decode_event
from trimtab.events.model import subject_id

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["HALF_BYTES", "RECORD_PREFIX", "HotBuffer", "HotHalf", "read_hot", "records_of"]

HALF_BYTES: Final = 4 * 1024 * 1024
RECORD_PREFIX: Final = struct.Struct("<II")
_PREFIX_BYTES: Final = RECORD_PREFIX.size
_pack: Final = RECORD_PREFIX.pack
_PAGE: Final = 4096
_WORD: Final = 8
_MAGIC: Final = int.from_bytes(b"TTHOT\x00\x00\x02", "little")
_STATE_WORDS: Final = (8, 16)
_NEVER_MS: Final = (1 << 63) - 1
_ZEROS: Final = bytes(256 * 1024)


class HotHalf(NamedTuple):
    """What one half of a hot buffer holds: everything a frame needs."""

    records: bytes | memoryview
    first_sequence: int
    events: int
    span_ms: tuple[int, int]


class HotBuffer:
    """The mapped file, as its owner writes it. Not locked: the writer serialises `append` and `swap`."""

    def __init__(self, path: Path, *, half_bytes: int = HALF_BYTES) -> None:
        """Create the file with its blocks reserved; raises `StorageError`, leaving no file."""
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                # reserved now: writing into a hole of a full disk would kill the process (SIGBUS)
                os.posix_fallocate(descriptor, 0, _PAGE + 2 * half_bytes)
                self._map = mmap.mmap(descriptor, _PAGE + 2 * half_bytes)
            except (OSError, ValueError):
                path.unlink()
                raise
            finally:
                os.close(descriptor)
        except (OSError, ValueError) as error:
            raise StorageError(
                "journal_unavailable",
                f"the journal's buffer cannot be made: {error}",
                param=str(path),
                hint=f"it needs {(_PAGE + 2 * half_bytes) >> 20} MiB of disk space on a local file system",
            ) from error
        self._bytes = memoryview(self._map)
        self._words = self._bytes[:_PAGE].cast("Q")
        self._half_bytes = half_bytes
        self._words[1] = half_bytes
        self._words[0] = _MAGIC
        self._waiting: HotHalf | None = None
        self._sequence = 0
        self._half = self._word = self._start = self._end = self._limit = self._first = 0
        self._oldest_ms, self._newest_ms = _NEVER_MS, 0
        self._fill(0)

    @property
    def largest_record(self) -> int:
        """Bytes of the largest event there can ever be room for."""
        return self._half_bytes - _PREFIX_BYTES

    @property
    def waits(self) -> bool:
        """Whether a half is being written, or is to be again."""
        return self._waiting is not None

    def append(self, record: bytes, subject_ms: int) -> int:
        """Copy a record into the half that is filling; returns the bytes committed in it, 0 where it was not taken.

        It is not where there is no room, or where no time can be `subject_ms`.
        """
        start = self._end
        length = len(record)
        end = start + _PREFIX_BYTES + length
        if end > self._limit or not 0 <= subject_ms <= _NEVER_MS:
            return 0
        sequence = self._sequence
        self._map[start:end] = _pack(length, crc32(record, sequence)) + record
        committed = end - self._start
        self._words[self._word] = committed  # last: what is committed is whole
        self._end = end
        self._sequence = sequence + 1
        if not self._oldest_ms <= subject_ms <= self._newest_ms:
            self._oldest_ms = min(self._oldest_ms, subject_ms)
            self._newest_ms = max(self._newest_ms, subject_ms)
        return committed

    def swap(self) -> HotHalf | None:
        """Return the half to be written, letting the other one fill; `None` where nothing was recorded.

        A half that was returned and not `done` with is returned again, and nothing is swapped meanwhile.
        """
        if self._waiting is None and self._end > self._start:
            self._waiting = HotHalf(
                self._bytes[self._start : self._end],
                self._first,
                self._sequence - self._first,
                (self._oldest_ms, self._newest_ms),
            )
            self._fill(1 - self._half)
        return self._waiting

    def done(self) -> None:
        """Empty the half that `swap` returned: it is durable elsewhere. Nothing of what people wrote stays here."""
        if self._waiting is not None:
            self._words[_STATE_WORDS[1 - self._half]] = 0
            position = _PAGE + (1 - self._half) * self._half_bytes
            left = len(self._waiting.records)
            self._waiting = None
            while left:
                size = min(left, len(_ZEROS))
                self._map[position : position + size] = _ZEROS[:size]
                position, left = position + size, left - size

    def close(self) -> None:
        """Unmap. A half that is being read elsewhere stays mapped until that ends."""
        self._waiting = None
        self._words.release()
        try:
            self._bytes.release()
            self._map.close()
        except BufferError:
            return

    def _fill(self, half: int) -> None:
        self._half = half
        self._word = _STATE_WORDS[half]
        self._start = self._end = _PAGE + half * self._half_bytes
        self._limit = self._start + self._half_bytes
        self._first = self._sequence
        self._oldest_ms, self._newest_ms = _NEVER_MS, 0
        self._words[self._word + 1] = self._first


def read_hot(path: Path) -> list[HotHalf]:
    """Return what the file of another process holds, oldest first.

    Records count as far as their checksums hold. Reading beside a live owner may miss what moves meanwhile and returns
    nothing false. Raises `OSError`, also where another version of Trimtab wrote the file: what cannot be read must not
    be discarded.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        page = os.pread(descriptor, _PAGE, 0)
        if len(page) < _PAGE:
            return []
        words = memoryview(page).cast("Q")
        half_bytes = words[1]
        if words[0] != _MAGIC:
            if any(page):
                raise OSError(errno.EPROTONOSUPPORT, "a buffer of another version of Trimtab", str(path))
            return []  # its owner was killed before the first event
        halves = []
        for index, word in enumerate(_STATE_WORDS):
            committed = min(words[word], half_bytes)
            data = os.pread(descriptor, committed, _PAGE + index * half_bytes)
            if (half := _sound(data, words[word + 1])) is not None:
                halves.append(half)
    finally:
        os.close(descriptor)
    return sorted(halves, key=lambda half: half.first_sequence)


def records_of(data: bytes | memoryview) -> list[memoryview]:
    """Return the records in `data`, taken as sound."""
    view = memoryview(data)
    records: list[memoryview] = []
    take, unpack = records.append, RECORD_PREFIX.unpack_from
    position, last = _PREFIX_BYTES, len(view)
    while position <= last:
        end = position + unpack(view, position - _PREFIX_BYTES)[0]
        take(view[position:end])
        position = end + _PREFIX_BYTES
    return records


def _sound(data: bytes, first: int) -> HotHalf | None:
    """Return the records at the start of `data` whose checksums hold."""
    view = memoryview(data)
    position, sequence = 0, first
    oldest_ms, newest_ms = _NEVER_MS, 0
    while position + _PREFIX_BYTES <= len(data):
        length, check = RECORD_PREFIX.unpack_from(data, position)
        body = position + _PREFIX_BYTES
        record = view[body : body + length]
        if not length or len(record) != length or crc32(record, sequence) != check:
            break  # a page of zeros has the checksum of nothing
        low, high = _subject_span(record)
        oldest_ms, newest_ms = min(oldest_ms, low), max(newest_ms, high)
        position = body + length
        sequence += 1
    if sequence == first:
        return None
    return HotHalf(data[:position], first, sequence - first, (oldest_ms, newest_ms))


def _subject_span(record: memoryview) -> tuple[int, int]:
    """Return when the subject began, twice; all of time for an event that only a newer Trimtab knows."""
    try:
        event = decode_event(record)
    except msgspec.DecodeError:
        return 0, _NEVER_MS
    try:
        at_ms = id_time_ms(subject_id(event))
    except InputError:
        at_ms = event.at_ms
    return at_ms, at_ms
