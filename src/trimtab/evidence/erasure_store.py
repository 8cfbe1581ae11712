"""Erasures where everybody who keeps evidence finds them: those that are asked for, and those that ever were.

    _erase/1764130000123-3f2a.../request.json      names the user, until all have carried it out
    _erase/1764130000123-3f2a.../done-WRITER.json
    _erased/1764130000123-SALT-3f2a...             names nobody, and stays

What stays is a keyed hash. Whoever comes later with journals of before (a machine that was away for long, a writer that
was retired, a new one) takes all of it in before it puts anything where others see it. The key lies beside it, as every
machine must be able to tell who is meant: it keeps hashes of one place from being looked up in a table or compared with
those of another, not from being tried by somebody who may read the place.
"""

from __future__ import annotations

import contextlib
import os
import re
from typing import TYPE_CHECKING

import msgspec

from trimtab.core.errors import IntegrityError, NotFoundError
from trimtab.evidence.erasure import Erasure, unit_key

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from trimtab.evidence.objects import Objects

__all__ = [
    "ERASED_FOLDER",
    "ERASURES_FOLDER",
    "ErasureRequest",
    "forget_remembered",
    "open_requests",
    "place_salt",
    "read_request",
    "remember",
    "remembered",
]

ERASURES_FOLDER = "_erase"
ERASED_FOLDER = "_erased"
_REQUEST = "/request.json"
_NAME = re.compile(r"(\d+)-([0-9a-f]{32})-([0-9a-f]{32})")
_SALT_BYTES = 16


class ErasureRequest(msgspec.Struct, frozen=True):
    """A user to be forgotten, as of a moment."""

    unit: str
    before_ms: int
    salt: str = ""
    """Key of the hash that stands for them; empty in requests of earlier versions."""

    @property
    def folder(self) -> str:
        """Where it lies; the name of the folder names nobody."""
        return f"{ERASURES_FOLDER}/{self.before_ms}-{unit_key(self.unit, self.salt)}"

    @property
    def key(self) -> str:
        """Of the file that names them."""
        return self.folder + _REQUEST

    @property
    def erasure(self) -> Erasure:
        """What of it names nobody."""
        return Erasure(unit_key(self.unit, self.salt), self.before_ms, self.salt)


def open_requests(objects: Objects, keys: Sequence[str]) -> Iterator[ErasureRequest]:
    """Yield what is asked for, of the keys in its folder; raises `IntegrityError` (`unreadable_erasure`)."""
    for key in keys:
        if key.endswith(_REQUEST):
            found = read_request(objects, key)
            if found is not None:
                yield found


def read_request(objects: Objects, key: str) -> ErasureRequest | None:
    """Return a request, `None` where it was carried out meanwhile; raises `IntegrityError` (`unreadable_erasure`)."""
    with contextlib.suppress(NotFoundError):
        try:
            return msgspec.json.decode(objects.get(key), type=ErasureRequest)
        except msgspec.DecodeError as error:
            raise IntegrityError(
                "unreadable_erasure",
                f"a request to erase a user cannot be read: {error}",
                param=key,
                hint="delete it, and ask again with `trimtab evidence erase`",
            ) from error
    return None


def remember(objects: Objects, erasure: Erasure) -> None:
    """Keep an erasure, which has a key, for whoever comes later; one that is known stays what it is."""
    objects.put(f"{ERASED_FOLDER}/{erasure.before_ms}-{erasure.salt}-{erasure.key}", b"{}")


def remembered(objects: Objects) -> list[Erasure]:
    """Return every erasure that was ever asked for there, oldest first."""
    return sorted((erasure for _, erasure in _listed(objects)), key=lambda one: (one.before_ms, one.salt, one.key))


def forget_remembered(objects: Objects, *, before_ms: int) -> int:
    """Let go of erasures as of an earlier moment: files of then are gone by their age. Returns how many."""
    old = [key for key, erasure in _listed(objects) if erasure.before_ms < before_ms]
    for key in old:
        objects.delete(key)
    return len(old)


def place_salt(objects: Objects) -> str:
    """Return the key of the hashes there: the newest erasure's, or a new one. Two at once may draw two."""
    known = remembered(objects)
    return known[-1].salt if known else os.urandom(_SALT_BYTES).hex()


def _listed(objects: Objects) -> Iterator[tuple[str, Erasure]]:
    for key in objects.keys(ERASED_FOLDER):
        found = _NAME.fullmatch(key.rpartition("/")[2])
        if found:
            yield key, Erasure(found[3], int(found[1]), found[2])
