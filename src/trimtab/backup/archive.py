"""One file that holds a backup: a zstd-compressed tar, the last member of which says what all others must be.

A backup that was cut off has no manifest and is refused; one whose content changed is refused, too.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import tarfile
import time
from typing import IO, TYPE_CHECKING, Self

import msgspec
import zstandard

from trimtab.core.errors import ConflictError, InputError, IntegrityError, StorageError
from trimtab.serving.durable_file import sync_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType

__all__ = ["ArchiveWriter", "Manifest", "Member", "extract"]

FORMAT = 1
_MANIFEST = "manifest.json"
_LEVEL = 1
"""Most of it is compressed already."""
_CHUNK = 1 << 20


class Member(msgspec.Struct, frozen=True):
    """What a file in the archive must be."""

    size: int
    sha256: str


class Manifest(msgspec.Struct, kw_only=True):
    """What a backup is."""

    format: int = FORMAT
    trimtab: str = ""
    """Version that made it."""
    began_ms: int = 0
    """Everything that was acknowledged before is in it."""
    ended_ms: int = 0
    database: str = ""
    """`sqlite`, or `postgres`: then control state is not in it."""
    evidence: bool = False
    members: dict[str, Member] = {}
    left_out: list[str] = []
    """Members that were replaced while the backup was made: they are not restored."""


class ArchiveWriter:
    """Writes beside the target and puts it in place on leaving; an error leaves nothing behind."""

    def __init__(self, target: Path) -> None:
        """Raises `ConflictError` where the target exists, `StorageError` where it cannot be written."""
        if target.exists():
            raise ConflictError("backup_exists", "there is a file of that name", param=str(target), hint="name another")
        self._target = target
        self._partial = target.with_name(f".{target.name}.{os.getpid()}")
        self.manifest = Manifest()
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._partial.open("xb")
        except OSError as error:
            raise _cannot_write(target, error) from error
        self._file_mode()
        self._zstd = zstandard.ZstdCompressor(level=_LEVEL).stream_writer(self._file, closefd=False)
        self._tar = tarfile.open(fileobj=self._zstd, mode="w|", format=tarfile.PAX_FORMAT)  # noqa: SIM115 - closed in __exit__

    def _file_mode(self) -> None:
        self._partial.chmod(0o600)  # it holds what people wrote

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Complete the archive, durably, or leave nothing. Raises `StorageError`."""
        try:
            if kind is not None:
                raise InterruptedError
            data = msgspec.json.encode(self.manifest)
            self._put(_MANIFEST, io.BytesIO(data), len(data))
            self._tar.close()
            self._zstd.close()  # type: ignore[no-untyped-call]
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            self._partial.rename(self._target)
            sync_folder(self._target.parent)
        except (OSError, zstandard.ZstdError) as failure:
            with contextlib.suppress(OSError):
                self._file.close()
            self._partial.unlink(missing_ok=True)
            if kind is None:
                raise _cannot_write(self._target, failure) from failure

    def add(self, name: str, path: Path) -> bool:
        """Add a file as it is now; returns `False` where it is gone. Raises `StorageError`."""
        try:
            file = path.open("rb")
        except FileNotFoundError:
            return False
        except OSError as error:
            raise StorageError("read_failed", f"cannot read: {error.strerror}", param=str(path)) from error
        with file:
            self._take(name, file, os.fstat(file.fileno()).st_size)
        return True

    def add_bytes(self, name: str, data: bytes) -> None:
        """Add content that is in memory."""
        self._take(name, io.BytesIO(data), len(data))

    def _take(self, name: str, file: IO[bytes], size: int) -> None:
        try:
            digest = self._put(name, file, size)
        except (OSError, zstandard.ZstdError) as error:
            raise _cannot_write(self._target, error) from error
        self.manifest.members[name] = Member(size, digest)

    def _put(self, name: str, file: IO[bytes], size: int) -> str:
        member = tarfile.TarInfo(name)
        member.size, member.mode, member.mtime = size, 0o600, int(time.time())
        hashing = _Hashing(file)
        self._tar.addfile(member, hashing)  # exactly `size` bytes: what is appended meanwhile stays out
        return hashing.digest.hexdigest()


class _Hashing:
    """A file that hashes what is read of it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        """Read on."""
        data = self._file.read(size)
        self.digest.update(data)
        return data


def extract(archive: Path, into: Path) -> Manifest:
    """Extract a backup into an empty folder and return its manifest.

    Raises `InputError` for what is no backup or one of a newer format, `IntegrityError` for one that is cut off or
    changed, `StorageError`. What was extracted before is left for the caller to remove.
    """
    seen: dict[str, Member] = {}
    manifest: Manifest | None = None
    try:
        with _members(archive) as members:
            for member, file in members:
                if manifest is not None or not _is_plain(member):
                    raise _damaged(archive, f"`{member.name}` does not belong into a backup")
                if member.name == _MANIFEST:
                    manifest = msgspec.json.decode(file.read(), type=Manifest)
                else:
                    seen[member.name] = _write(into / member.name, file)
    except (tarfile.TarError, zstandard.ZstdError, msgspec.DecodeError, EOFError) as error:
        raise _damaged(archive, str(error)) from error
    except OSError as error:
        raise StorageError("restore_failed", f"cannot restore: {error}", param=str(archive)) from error
    if manifest is None:
        raise _damaged(archive, "it was cut off")
    if manifest.format > FORMAT:
        raise InputError(
            "newer_backup", f"a Trimtab {manifest.trimtab} made this backup", param=str(archive), hint="upgrade first"
        )
    wrong = sorted(name for name in seen.keys() | manifest.members if seen.get(name) != manifest.members.get(name))
    if wrong:
        raise _damaged(archive, f"`{wrong[0]}` is not what was backed up")
    for name in manifest.left_out:
        (into / name).unlink(missing_ok=True)
    return manifest


@contextlib.contextmanager
def _members(archive: Path) -> Iterator[Iterator[tuple[tarfile.TarInfo, IO[bytes]]]]:
    try:
        raw = archive.open("rb")
    except OSError as error:
        raise InputError("unreadable_file", f"cannot read: {error.strerror}", param=str(archive)) from error
    with (
        raw,
        zstandard.ZstdDecompressor().stream_reader(raw) as plain,
        tarfile.open(fileobj=plain, mode="r|") as tar,
    ):
        yield ((member, file) for member in tar if (file := tar.extractfile(member)) is not None)


def _is_plain(member: tarfile.TarInfo) -> bool:
    parts = member.name.split("/")
    return member.isreg() and not member.name.startswith("/") and not {"", ".", ".."} & set(parts)


def _write(path: Path, file: IO[bytes]) -> Member:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    digest, size = hashlib.sha256(), 0
    with path.open("xb") as out:
        path.chmod(0o600)
        while data := file.read(_CHUNK):
            out.write(data)
            digest.update(data)
            size += len(data)
        out.flush()
        os.fsync(out.fileno())
    return Member(size, digest.hexdigest())


def _damaged(archive: Path, why: str) -> IntegrityError:
    return IntegrityError("damaged_backup", f"this backup is damaged: {why}", param=str(archive))


def _cannot_write(target: Path, error: Exception) -> StorageError:
    reason = getattr(error, "strerror", None) or str(error)
    return StorageError("backup_failed", f"the backup cannot be written: {reason}", param=str(target))
