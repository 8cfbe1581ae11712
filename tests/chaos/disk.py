"""A disk that can be filled to its last byte: a tmpfs of its own. Without root there is none, and nothing is filled."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

__all__ = ["SmallDisk"]

_CHUNK = bytes(1 << 20)


class SmallDisk:
    """A folder on a small file system."""

    def __init__(self, place: Path, *, mebibytes: int) -> None:
        self.place = place
        self._mebibytes = mebibytes
        self._filler = place / "filler"
        self.small = False
        """Whether it really is small, so that it can be filled."""

    def __enter__(self) -> Self:
        self.place.mkdir(parents=True)
        if os.geteuid() == 0 and shutil.which("mount") is not None:
            options = ["mount", "-t", "tmpfs", "-o", f"size={self._mebibytes}m", "trimtab-chaos", str(self.place)]
            self.small = subprocess.run(options, check=False, capture_output=True).returncode == 0
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.small:
            subprocess.run(["umount", "--lazy", str(self.place)], check=False)

    def fill(self) -> None:
        """Leave no byte free."""
        with self._filler.open("ab", buffering=0) as file:
            chunk = _CHUNK
            while chunk:
                try:
                    file.write(chunk)
                except OSError:
                    chunk = chunk[: len(chunk) // 2]

    def empty(self) -> None:
        """Give back what was filled."""
        self._filler.unlink(missing_ok=True)
