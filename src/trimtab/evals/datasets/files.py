"""Items at rest: JSON Lines under their own digest, so that a dataset is what it was."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import zstandard

from trimtab.core.errors import IntegrityError, NotFoundError, StorageError
from trimtab.core.ids import DIGEST_PREFIX, digest_of
from trimtab.evals.datasets.item import Item

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["ItemFiles"]

_LEVEL = 9
_SUFFIX = ".jsonl.zst"
_encoder = msgspec.json.Encoder(order="deterministic")


class ItemFiles:
    """A folder of item files. Written once, whole; what is read is what was written."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, items: Sequence[Item]) -> str:
        """Store items and return their digest: SHA-256 over their JSON Lines. Durable when it returns."""
        content = b"".join(_encoder.encode(item) + b"\n" for item in items)
        digest = digest_of(content)
        path = self.path(digest)
        if not path.exists():
            self._write(path, zstandard.ZstdCompressor(level=_LEVEL).compress(content))
        return digest

    def get(self, digest: str) -> list[Item]:
        """Return the items; raises `NotFoundError` (`missing_items`) or `IntegrityError` (`damaged_items`)."""
        path = self.path(digest)
        try:
            content = zstandard.ZstdDecompressor().decompress(path.read_bytes())
        except FileNotFoundError as error:
            raise NotFoundError(
                "missing_items",
                "the items of this dataset are not in this data directory",
                param=str(path),
                hint="copy the file from where the dataset was made, or make it again: equal items get the same name",
            ) from error
        except OSError as error:
            raise StorageError("read_failed", f"cannot read items: {error.strerror}", param=str(path)) from error
        except zstandard.ZstdError as error:
            raise _damaged(path) from error
        if digest_of(content) != digest:
            raise _damaged(path)
        return msgspec.json.Decoder(Item).decode_lines(content)

    def digests(self) -> list[str]:
        """Return the digests of all that are there."""
        return sorted(DIGEST_PREFIX + path.name.removesuffix(_SUFFIX) for path in self._folder.glob(f"*{_SUFFIX}"))

    def path(self, digest: str) -> Path:
        """Return where items lie, or would."""
        return self._folder / f"{digest.removeprefix(DIGEST_PREFIX)}{_SUFFIX}"

    def _write(self, path: Path, data: bytes) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=path.parent, prefix=".items-")
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(path)
            folder = os.open(path.parent, os.O_RDONLY)
            os.fsync(folder)
            os.close(folder)
        except OSError as error:
            raise StorageError("write_failed", f"cannot store items: {error.strerror}", param=str(path)) from error


def _damaged(path: Path) -> IntegrityError:
    return IntegrityError(
        "damaged_items", "the items of this dataset are not what was written", param=str(path), hint="restore the file"
    )
