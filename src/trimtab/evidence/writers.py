"""Who writes evidence somewhere: when each was last heard of, and declaring one gone that never comes back.

    _log/3fa94c1b/alive.json       said by itself, every few minutes
    _log/3fa94c1b/retired.json     from now on this log counts for nobody
    _log/3fa94c1b.1/...            what it said until then; the heir goes on with it

One file decides which of the two logs counts, so there is no moment in which both do or neither. That is what fences a
writer that was declared gone and lives: whatever it still adds to its log, nobody reads it. When it sees that it was
retired it takes a new name, and all erasures there ever were before it moves anything (see `identity`, `compactor`).
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import msgspec

from trimtab.core.errors import ConflictError, InputError, NotFoundError, TrimtabError
from trimtab.evidence.log import (
    LOG_FOLDER,
    EvidenceLog,
    LogState,
    Retired,
    estate_after,
    origin_of,
    read_retired,
    retired_key,
    retired_writers,
    writers,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trimtab.evidence.objects import Objects

__all__ = [
    "SignOfLife",
    "Writer",
    "announce",
    "check_gone",
    "estates_of",
    "known_writers",
    "retire",
    "sweep",
    "sweep_estates",
]


class SignOfLife(msgspec.Struct, frozen=True):
    """What a writer says of itself."""

    at_ms: int
    machine: str
    """Name of its host."""


class Writer(msgspec.Struct, frozen=True, kw_only=True):
    """One writer: a data directory that keeps evidence there, or what is left of one."""

    name: str
    machine: str
    """Name of the host it was last heard from; empty where it never said."""
    alive_ms: int
    """When it was last heard of, milliseconds since the Unix epoch; 0 where that is not known."""
    rows: int
    files: int
    size: int
    """Bytes."""
    newest_ms: int
    """Of the events in its files, the time of the newest; 0 where there are none."""
    heir: str = ""
    """Who looks after its files since it was retired."""
    owes: int = 0
    """Erasures that it has not carried out."""


def announce(objects: Objects, writer: str, *, machine: str, now_ms: int) -> None:
    """Say that a writer lives; from then on every request to erase waits for it."""
    objects.put(_alive_key(writer), msgspec.json.encode(SignOfLife(now_ms, machine)))


def known_writers(objects: Objects, owes: Mapping[str, int] | None = None) -> list[Writer]:
    """Return all whose files count, by name; raises `StorageError`. `owes`: erasures that each has not carried out."""
    return [_known(objects, name, (owes or {}).get(name, 0)) for name in writers(objects)]


def estates_of(objects: Objects, heir: str) -> list[str]:
    """Return the logs of retired writers that a writer looks after."""
    found = []
    for name in writers(objects):
        origin = origin_of(name)
        retired = read_retired(objects, origin) if origin else None
        if retired is not None and _last_heir(objects, retired) == heir:
            found.append(name)
    return found


def retire(objects: Objects, writer: str, *, heir: str, now_ms: int, silent_ms: int) -> list[Retired]:
    """Declare a writer gone for good; its files, and those it looked after, are the heir's to look after.

    Killed, it is begun again by asking again. Raises `NotFoundError` (`unknown_writer`), `ConflictError`
    (`already_retired`, `writer_alive`: it was heard of within `silent_ms`), `InputError` (`no_heir`).
    """
    check_gone(objects, writer, heir=heir, now_ms=now_ms, silent_ms=silent_ms)
    return [_retire(objects, name, heir, now_ms) for name in [*estates_of(objects, writer), writer]]


def check_gone(objects: Objects, writer: str, *, heir: str, now_ms: int, silent_ms: int) -> Writer:
    """Return a writer that may be retired; raises as `retire`."""
    there = {one.name: one for one in known_writers(objects)}
    named = [name for name in there if not origin_of(name)]
    orphans = [name for name, one in there.items() if one.heir and one.heir not in there]
    if writer not in [*named, *orphans]:
        raise _not_to_retire(objects, writer, there)
    if heir not in named or heir == writer:
        raise InputError(
            "no_heir",
            f"`{heir}` is no other writer that could look after its files",
            param="heir",
            hint="name one that runs: --heir NAME, of `trimtab evidence writers`",
        )
    if silent_ms and now_ms - there[writer].alive_ms < silent_ms:  # 0: whatever a clock that runs ahead has said
        raise ConflictError(
            "writer_alive",
            f"`{writer}` was heard of {max(0, now_ms - there[writer].alive_ms) // 1000} s ago",
            param="writer",
            hint="stop what runs in its data directory, and wait; or say what silence is enough: --silent-for 0s",
        )
    return there[writer]


def sweep(objects: Objects, writer: str, retired: Retired) -> None:
    """Delete what a retired writer wrote and no log that counts names: half-done work, and work after the fence."""
    log = EvidenceLog(objects, writer)
    state = log.read()
    instead = _counts_instead(objects, retired)
    counts = EvidenceLog(objects, instead).read() if instead else LogState()
    live = set(counts.belonging(counts.files))
    if state.number == retired.as_of:
        log.recover(state, live=live)
        return
    late = [*state.belonging(state.files), *log.prepared()]
    for key in late:
        if _commit_of(key, writer) > retired.as_of and key not in live:
            objects.delete(key)


def sweep_estates(objects: Objects, heir: str) -> None:
    """Delete what those that a writer took over from left half done or wrote in vain, also where nothing counts.

    An erasure must not be said to be done while a file of theirs lies there that no log names.
    """
    for name in retired_writers(objects):
        retired = read_retired(objects, name)
        if retired is not None and _last_heir(objects, retired) == heir:
            sweep(objects, name, retired)


def _retire(objects: Objects, name: str, heir: str, now_ms: int) -> Retired:
    state = EvidenceLog(objects, name).read()
    estate = estate_after(name)
    if not state.files and not any(objects.keys(f"{LOG_FOLDER}/{estate}")):  # begun before, and killed: it would count
        estate = ""
    if estate:
        checkpoint = f"{LOG_FOLDER}/{estate}/{state.number:010d}.checkpoint.json"
        objects.put(checkpoint, msgspec.json.encode(state))
    retired = Retired(at_ms=now_ms, heir=heir, estate=estate, as_of=state.number, cursors=state.cursors)
    objects.put(retired_key(name), msgspec.json.encode(retired))
    sweep(objects, name, retired)
    return retired


def _known(objects: Objects, name: str, owes: int) -> Writer:
    state = EvidenceLog(objects, name).read()
    files = state.files.values()
    said = SignOfLife(0, "")
    with contextlib.suppress(NotFoundError, msgspec.DecodeError):
        said = msgspec.json.decode(objects.get(_alive_key(name)), type=SignOfLife)
    origin = origin_of(name)
    retired = read_retired(objects, origin) if origin else None
    return Writer(
        name=name,
        machine=said.machine,
        alive_ms=max(said.at_ms, state.at_ms),
        rows=sum(file.rows for file in files),
        files=len(files),
        size=sum(file.size for file in files),
        newest_ms=max((file.newest_ms for file in files), default=0),
        heir=_last_heir(objects, retired) if retired else "",
        owes=owes,
    )


def _alive_key(writer: str) -> str:
    return f"{LOG_FOLDER}/{writer}/alive.json"


def _commit_of(key: str, writer: str) -> int:
    """Return the commit that a file's key says it is of; 0 for another writer's."""
    name, own = key.rpartition("/")[2], f"{writer}-"
    number = name.removeprefix(own).partition("-")[0]
    return int(number) if name.startswith(own) and number.isdigit() else 0


def _counts_instead(objects: Objects, retired: Retired) -> str:
    """Return the name of the log that counts in the end, empty where none does: who took over may be gone as well."""
    estate = retired.estate
    while estate and (later := read_retired(objects, estate)) is not None:
        estate = later.estate
    return estate


def _last_heir(objects: Objects, retired: Retired) -> str:
    """Return who looks after it in the end; one that is gone where two were each made the other's heir at once."""
    met = [retired.heir]
    while met[-1] not in met[:-1] and (later := read_retired(objects, met[-1])) is not None:
        met.append(later.heir)
    return met[-1]


def _not_to_retire(objects: Objects, writer: str, there: Mapping[str, Writer]) -> TrimtabError:
    """Return why a name is none of a writer that could be declared gone."""
    if writer in there:
        heir = there[writer].heir
        return ConflictError(
            "already_retired",
            f"`{writer}` is what is left of a writer that is retired; `{heir}` looks after it",
            param="writer",
            hint=f"start `{heir}`; if that is gone as well: trimtab evidence retire {heir}",
        )
    if read_retired(objects, writer) is not None:
        return ConflictError("already_retired", f"`{writer}` is retired already", param="writer")
    return NotFoundError(
        "unknown_writer",
        f"no writer `{writer}` keeps evidence there",
        param="writer",
        hint="trimtab evidence writers lists them",
    )
