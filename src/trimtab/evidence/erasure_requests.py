"""Erasures that were asked for, where everybody who keeps evidence finds them.

    _erase/1764130000123-3f2a.../request.json      names the user
    _erase/1764130000123-3f2a.../done-WRITER.json

Only its own writer touches a file of evidence, and it runs inside a server or a relay. So a request lies beside the
files; each writer carries it out and says so; and when all have, the request, which names somebody, is deleted.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import msgspec

from trimtab.core.errors import IntegrityError, NotFoundError
from trimtab.evidence.erasure import unit_key
from trimtab.evidence.log import writers
from trimtab.evidence.upkeep import erase

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trimtab.evidence.compactor import Compactor
    from trimtab.evidence.objects import Objects

__all__ = ["ERASURES_FOLDER", "ErasureRequest", "fulfil_erasures", "pending", "removed_by", "request_erasure"]

ERASURES_FOLDER = "_erase"


_ANSWERED_MS = 24 * 3_600_000
"""How long what writers said of a request outlives it: whoever asked waits for that."""


class ErasureRequest(msgspec.Struct, frozen=True):
    """A user to be forgotten, as of a moment."""

    unit: str
    before_ms: int

    @property
    def folder(self) -> str:
        """Where it lies; the name of the folder names nobody."""
        return f"{ERASURES_FOLDER}/{self.before_ms}-{unit_key(self.unit)}"


class _Done(msgspec.Struct, frozen=True):
    removed: int
    """Events."""


def request_erasure(objects: Objects, unit: str, *, now_ms: int) -> ErasureRequest:
    """Ask all who keep evidence there to forget a user; raises `StorageError`."""
    request = ErasureRequest(unit, now_ms)
    objects.put(f"{request.folder}/request.json", msgspec.json.encode(request))
    return request


def fulfil_erasures(compactor: Compactor) -> int:
    """Do what was asked for and this writer has not done; returns the events removed. Killed, it is begun again."""
    objects, removed = compactor.objects, 0
    keys = sorted(objects.keys(ERASURES_FOLDER))
    for request in _open(objects, keys):
        if removed_by(objects, request, compactor.writer) is None:
            mine = erase(compactor, request.unit, before_ms=request.before_ms)
            objects.put(_done_key(request, compactor.writer), msgspec.json.encode(_Done(mine)))
            removed += mine
        if not pending(objects, request):
            objects.delete(f"{request.folder}/request.json")  # at once: it is what names somebody
    _forget_answers(objects, keys, before_ms=compactor.now_ms - _ANSWERED_MS)
    return removed


def pending(objects: Objects, request: ErasureRequest) -> list[str]:
    """Return the writers that have not carried it out."""
    done = set(objects.keys(request.folder))
    return [writer for writer in writers(objects) if _done_key(request, writer) not in done]


def removed_by(objects: Objects, request: ErasureRequest, writer: str) -> int | None:
    """Return how many events a writer removed for it; `None` as long as it has not carried it out."""
    with contextlib.suppress(NotFoundError):
        return msgspec.json.decode(objects.get(_done_key(request, writer)), type=_Done).removed
    return None


def _done_key(request: ErasureRequest, writer: str) -> str:
    return f"{request.folder}/done-{writer}.json"


def _forget_answers(objects: Objects, keys: Sequence[str], *, before_ms: int) -> None:
    """Delete what writers said of old requests that are done: all of it is listed at every look."""
    waiting = {key.rpartition("/")[0] for key in keys if key.endswith("/request.json")}
    for key in keys:
        folder = key.rpartition("/")[0]
        asked_ms = folder.rpartition("/")[2].partition("-")[0]
        if folder not in waiting and asked_ms.isdigit() and int(asked_ms) < before_ms:
            objects.delete(key)


def _open(objects: Objects, keys: Sequence[str]) -> list[ErasureRequest]:
    found = []
    for key in keys:
        if not key.endswith("/request.json"):
            continue
        with contextlib.suppress(NotFoundError):  # another writer was the last
            try:
                found.append(msgspec.json.decode(objects.get(key), type=ErasureRequest))
            except msgspec.DecodeError as error:
                raise IntegrityError(
                    "unreadable_erasure",
                    f"a request to erase a user cannot be read: {error}",
                    param=key,
                    hint="delete it, and ask again with `trimtab evidence erase`",
                ) from error
    return found
