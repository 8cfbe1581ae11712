"""Asking all who keep evidence somewhere to forget a user, and doing it.

Only its own writer touches a file of evidence, and it runs inside a server or a relay. So a request lies beside the
files (see `erasure_store`); each writer carries it out, also in the files that it looks after for others, and says so;
and when all have, the request, which names somebody, is deleted.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import msgspec

from trimtab.core.errors import NotFoundError
from trimtab.evidence.erasure_store import (
    ERASURES_FOLDER,
    ErasureRequest,
    open_requests,
    place_salt,
    remember,
)
from trimtab.evidence.log import writers
from trimtab.evidence.upkeep import erase

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trimtab.evidence.compactor import Compactor
    from trimtab.evidence.objects import Objects

__all__ = ["OpenErasure", "fulfil_erasures", "open_erasures", "pending", "removed_by", "request_erasure"]

_ANSWERED_MS = 24 * 3_600_000
"""How long what writers said of a request outlives it: whoever asked waits for that."""


class OpenErasure(msgspec.Struct, frozen=True, kw_only=True):
    """A request that somebody still owes."""

    unit: str
    asked_ms: int
    waits_for: list[str]
    """Writers that have not carried it out."""


class _Done(msgspec.Struct, frozen=True):
    removed: int
    """Events."""


def request_erasure(objects: Objects, unit: str, *, now_ms: int) -> ErasureRequest:
    """Ask all who keep evidence there to forget a user; raises `StorageError`.

    It is remembered first: a writer that joins does so before it looks what is remembered, so it either finds this or
    is among those that the request waits for.
    """
    request = ErasureRequest(unit, now_ms, place_salt(objects))
    remember(objects, request.erasure)
    objects.put(request.key, msgspec.json.encode(request))
    return request


def fulfil_erasures(compactor: Compactor) -> int:
    """Do what was asked for and was not done here; returns the events removed. Killed, it is begun again."""
    objects, removed = compactor.objects, 0
    keys = sorted(objects.keys(ERASURES_FOLDER))
    requests = list(open_requests(objects, keys))
    stewards = [compactor, *compactor.estates()] if requests else []
    for request in requests:
        for one in stewards:
            if removed_by(objects, request, one.writer) is None:
                found = erase(one, request.unit, before_ms=request.before_ms, salt=request.salt)
                objects.put(_done_key(request, one.writer), msgspec.json.encode(_Done(found)))
                removed += found
        if not pending(objects, request):
            remember(objects, _keyed(objects, request).erasure)
            objects.delete(request.key)  # at once: it is what names somebody
    _forget_answers(objects, keys, before_ms=compactor.now_ms - _ANSWERED_MS)
    return removed


def pending(objects: Objects, request: ErasureRequest) -> list[str]:
    """Return the writers that have not carried it out."""
    done = set(objects.keys(request.folder))
    return [writer for writer in writers(objects) if _done_key(request, writer) not in done]


def open_erasures(objects: Objects) -> list[OpenErasure]:
    """Return what is asked for and not done, oldest first; raises `StorageError`, `IntegrityError`."""
    keys = sorted(objects.keys(ERASURES_FOLDER))
    found = [
        OpenErasure(unit=one.unit, asked_ms=one.before_ms, waits_for=pending(objects, one))
        for one in open_requests(objects, keys)
    ]
    return sorted(found, key=lambda one: one.asked_ms)


def removed_by(objects: Objects, request: ErasureRequest, writer: str) -> int | None:
    """Return how many events a writer removed for it; `None` as long as it has not carried it out."""
    with contextlib.suppress(NotFoundError):
        return msgspec.json.decode(objects.get(_done_key(request, writer)), type=_Done).removed
    return None


def _keyed(objects: Objects, request: ErasureRequest) -> ErasureRequest:
    """Return a request of an earlier version with a key, so that it is remembered like the others."""
    return request if request.salt else ErasureRequest(request.unit, request.before_ms, place_salt(objects))


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
