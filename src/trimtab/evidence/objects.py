"""Files by key, in a local folder or an S3-compatible store: written whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pyarrow as pa
import pyarrow.fs as pafs

from trimtab.core.errors import InputError, NotFoundError, StorageError
from trimtab.serving.durable_file import sync_folder, write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["LocalObjects", "Objects", "S3Objects", "open_objects"]


class Objects(Protocol):
    """A flat store of bytes; keys are relative paths with `/`."""

    filesystem: pafs.FileSystem
    """For readers of Parquet; `root` and a key make a path in it."""
    root: str
    hint: str
    """What to check where it cannot be read or written."""

    def put(self, key: str, data: bytes | memoryview) -> None:
        """Write a whole file, durably: nobody ever sees half of it. Raises `StorageError`."""
        ...

    def get(self, key: str) -> bytes:
        """Return a whole file; raises `NotFoundError` (`no_object`) or `StorageError`."""
        ...

    def has(self, key: str) -> bool:
        """Return whether there is such a file; raises `StorageError`."""
        ...

    def delete(self, key: str) -> None:
        """Delete a file; one that is not there is no error."""
        ...

    def keys(self, prefix: str) -> Iterator[str]:
        """Yield the keys below a folder, in no order."""
        ...


class _Arrow:
    """What both share, over Arrow's file systems."""

    hint = "is there space and access?"

    def __init__(self, filesystem: pafs.FileSystem, root: str) -> None:
        self.filesystem = filesystem
        self.root = root

    def path(self, key: str) -> str:
        """Return the path of a key in the file system."""
        return f"{self.root}/{key}"

    def get(self, key: str) -> bytes:
        try:
            with self.filesystem.open_input_file(self.path(key)) as file:
                data: bytes = file.read()
                return data
        except FileNotFoundError as error:
            raise NotFoundError("no_object", f"there is no {key}", param=self.root) from error
        except OSError as error:
            raise _failed("read", key, error, self.hint) from error

    def has(self, key: str) -> bool:
        try:
            return bool(self.filesystem.get_file_info(self.path(key)).type == pafs.FileType.File)
        except OSError as error:
            raise _failed("look for", key, error, self.hint) from error

    def delete(self, key: str) -> None:
        try:
            self.filesystem.delete_file(self.path(key))
        except FileNotFoundError:
            return
        except OSError as error:
            if self.filesystem.get_file_info(self.path(key)).type != pafs.FileType.NotFound:
                raise _failed("delete", key, error, self.hint) from error

    def keys(self, prefix: str) -> Iterator[str]:
        selector = pafs.FileSelector(self.path(prefix), recursive=True, allow_not_found=True)
        try:
            found = self.filesystem.get_file_info(selector)
        except OSError as error:
            raise _failed("list", prefix, error, self.hint) from error
        for info in found:
            if info.type == pafs.FileType.File:
                yield info.path.removeprefix(f"{self.root}/")


class LocalObjects(_Arrow):
    """A folder. A file is fsynced under another name and renamed, and so is its folder."""

    def __init__(self, folder: Path) -> None:
        super().__init__(pafs.LocalFileSystem(), str(folder))
        self._folder = folder

    def put(self, key: str, data: bytes | memoryview) -> None:
        path = self._folder / key
        fresh = [parent for parent in path.parents if not parent.exists()]
        write_atomically(path, bytes(data), durable=True)
        for folder in fresh:  # a file in a folder that a power cut forgets would not be durable
            sync_folder(folder.parent)


class S3Objects(_Arrow):
    """A prefix in a bucket: an upload that is complete appears at once, any other never."""

    hint = (
        "check `evidence.location` (bucket, region, endpoint_override, scheme), that this machine reaches it, and the "
        "credentials (AWS_ACCESS_KEY_ID, AWS_PROFILE, ...); what is in journals stays there meanwhile"
    )

    def put(self, key: str, data: bytes | memoryview) -> None:
        try:
            with self.filesystem.open_output_stream(self.path(key)) as stream:
                stream.write(pa.py_buffer(data))
        except OSError as error:
            raise _failed("write", key, error, self.hint) from error


def open_objects(location: str) -> Objects:
    """Return the store at a folder's path or an `s3://bucket/prefix?endpoint_override=host:port` URL.

    Credentials come from the environment as AWS's tools read them. Raises `InputError` for another scheme.
    """
    if "://" not in location:
        return LocalObjects(Path(location).resolve())
    if not location.startswith("s3://"):
        raise InputError(
            "unknown_location",
            f"`{location.split('://', 1)[0]}` is no place for evidence",
            param="location",
            hint="give a folder, or s3://bucket/prefix",
        )
    try:
        filesystem, root = pafs.FileSystem.from_uri(location)
        if not root:
            raise OSError("it names no bucket")  # noqa: TRY301 - told like the others
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(
            "unknown_location",
            f"this is no S3 location: {error}",
            param="location",
            hint="s3://bucket/prefix?region=eu-central-1",
        ) from error
    return S3Objects(filesystem, root)


def _failed(what: str, key: str, error: OSError, hint: str) -> StorageError:
    return StorageError(
        f"{what.partition(' ')[0]}_failed",
        f"cannot {what} {key}: {error.strerror or error}",
        param=key,
        hint=hint,
    )
