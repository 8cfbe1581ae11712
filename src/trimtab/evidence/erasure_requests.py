"""Erasures that wait for whoever compacts: files in the data directory, kept until they are done."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from trimtab.core.errors import StorageError
from trimtab.evidence.erasure import unit_key
from trimtab.evidence.upkeep import erase
from trimtab.serving.durable_file import write_atomically

if TYPE_CHECKING:
    from pathlib import Path

    from trimtab.evidence.compactor import Compactor
    from trimtab.serving.directory import DataDirectory

__all__ = ["ErasureRequest", "fulfil_erasures", "request_erasure"]


class ErasureRequest(msgspec.Struct, frozen=True):
    """A user to be forgotten. It names them, for files are searched by the name; it goes when that is done."""

    unit: str
    before_ms: int
    """When it was asked for, milliseconds since the Unix epoch."""


_decoder = msgspec.json.Decoder(ErasureRequest)


def request_erasure(directory: DataDirectory, unit: str, *, now_ms: int) -> Path:
    """Leave a request, durably, to whoever compacts; its file is gone once all is erased. Raises `StorageError`."""
    path = directory.erasures / f"{now_ms:013d}-{unit_key(unit)}.json"
    write_atomically(path, msgspec.json.encode(ErasureRequest(unit, now_ms)), durable=True)
    return path


def fulfil_erasures(compactor: Compactor, directory: DataDirectory) -> int:
    """Do what was asked for; returns rows removed. What fails is asked for again by the file that stays."""
    removed = 0
    for path in sorted(directory.erasures.glob("*.json")):
        try:
            request = _decoder.decode(path.read_bytes())
        except (OSError, msgspec.DecodeError) as error:
            raise StorageError(
                "unreadable_erasure",
                f"a request to erase a user cannot be read: {error}",
                param=str(path),
                hint="delete it, and ask again with `trimtab evidence erase`",
            ) from error
        removed += erase(compactor, request.unit, before_ms=request.before_ms)
        path.unlink(missing_ok=True)
    return removed
