"""What disks and half-done writes do to journals of killed processes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trimtab.serving.frames import HEADER_SIZE, encode_frame
from trimtab.serving.hot_buffer import RECORD_PREFIX
from trimtab.serving.journal_folder import HOT_FILE, ownership, segments

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping
    from pathlib import Path

    from trimtab.serving.journal_reader import JournalPosition

__all__ = ["flip_a_bit", "tear"]


def tear(folder: Path, seeded: random.Random) -> bool:
    """Leave half a frame at the end of a dead process's journal, as a process killed inside a write does.

    Returns whether it could: the process was dead and not salvaged yet.
    """
    record = b"not an event"
    frame = encode_frame(
        RECORD_PREFIX.pack(len(record), 0) + record, events=1, first_sequence=1 << 40, span_ms=(0, 1 << 62)
    )
    with ownership(folder) as owned:
        paths = segments(folder)
        if not owned or not paths or not (folder / HOT_FILE).exists():
            return False
        with paths[-1].open("ab") as file:
            file.write(frame[: seeded.randrange(1, len(frame))])
    return True


def flip_a_bit(folder: Path, read: Mapping[str, JournalPosition], seeded: random.Random) -> bool:
    """Flip one bit of a dead process's journal in what everybody has read already; returns whether there was any."""
    reached = read.get(folder.name)
    with ownership(folder) as owned:
        paths = [path for path in segments(folder) if reached is not None and path.name <= reached.segment]
        if not owned or reached is None or not paths:
            return False
        path = seeded.choice(paths)
        size = reached.offset if path.name == reached.segment else path.stat().st_size
        if size < HEADER_SIZE:
            return False
        with path.open("r+b") as file:
            file.seek(seeded.randrange(size))
            byte = file.read(1)[0]
            file.seek(-1, 1)
            file.write(bytes([byte ^ 1 << seeded.randrange(8)]))
    return True
