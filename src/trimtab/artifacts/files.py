"""Reading the files of a feature: bounded, UTF-8, with Unix line ends whatever checked them out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trimtab.core.errors import SourceError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["MAX_FILE_BYTES", "decode_text", "read_bytes", "read_text"]

MAX_FILE_BYTES = 1_048_576
"""Of one file; beyond it, a file is surely not meant as a prompt, and would go into every snapshot."""


def read_bytes(path: Path) -> bytes:
    """Return the bytes of a file; raises `SourceError` (`missing_file`, `unreadable_file`, `file_too_large`)."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        raise SourceError("missing_file", "there is no such file", path=str(path)) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise SourceError("unreadable_file", f"the file cannot be read: {reason}", path=str(path)) from error
    if len(data) > MAX_FILE_BYTES:
        raise SourceError(
            "file_too_large",
            f"the file is over {MAX_FILE_BYTES} bytes",
            path=str(path),
            hint="a prompt, partial, schema or plan has at most 1 MiB; keep data elsewhere",
        )
    return data


def decode_text(data: bytes, path: str) -> str:
    """Return the text of UTF-8 bytes with Unix line ends; raises `SourceError` (`not_utf8`) with the byte's offset."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise SourceError(
            "not_utf8",
            f"byte 0x{data[error.start]:02x} at offset {error.start} is not UTF-8",
            path=path,
            line=line,
            hint="save the file as UTF-8",
        ) from None
    return text.removeprefix("\ufeff").replace("\r\n", "\n")


def read_text(path: Path) -> str:
    """Return the text of a file; raises as `read_bytes` and `decode_text`."""
    return decode_text(read_bytes(path), str(path))
