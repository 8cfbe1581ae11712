"""trimtab evidence erase, erasures, writers and retire: a user is forgotten, by everybody, in the end."""

from __future__ import annotations

import contextlib
import sys
import time
from typing import TYPE_CHECKING

import click

from trimtab.cli.output import ago, emit_json, json_option, say, table, when
from trimtab.core.durations import seconds
from trimtab.core.quantity import quantity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trimtab.bootstrap.settings import Settings
    from trimtab.cli.context import AppContext
    from trimtab.evidence.erasure_requests import OpenErasure
    from trimtab.evidence.erasure_store import ErasureRequest
    from trimtab.evidence.objects import Objects
    from trimtab.evidence.writers import Writer

__all__ = ["erase_command", "erasures_command", "retire_command", "writers_command"]

_POLL_SECONDS = 0.2
_EXIT_NO = 1
_HEARD_MS = 15 * 60_000
"""A writer that runs says so every five minutes."""


@click.command("erase")
@click.argument("unit")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--wait", default="10m", show_default=True, help="How long to wait for the server or relay here.")
@click.pass_obj
def erase_command(app: AppContext, unit: str, yes: bool, wait: str) -> None:  # noqa: FBT001 - click's signature
    """Remove everything recorded of a user (UNIT, as callers send it), and what was said about it.

    Files are rewritten without it, by a running `trimtab server` or `trimtab relay` where there is one; the command
    waits until that is done. Other machines that keep evidence in the same place do theirs by themselves: see `trimtab
    evidence erasures`. Journals that held it are deleted when they are older than `evidence.journal_hours` and were
    read. Exit status 1 where it was not done here within `--wait`: it stays asked for.

    Not reached are backups, exports, answers of evals, and datasets; those of this data directory with items made of
    what the user said are told.
    """
    from trimtab.evidence.erasure_requests import pending, request_erasure
    from trimtab.evidence.identity import writer_of
    from trimtab.evidence.objects import open_objects

    if not yes:
        click.confirm(f"Remove all that is recorded of `{unit}` for good?", abort=True, err=True)
    settings = app.settings()
    patience = seconds(wait)
    objects = open_objects(settings.evidence_location)
    request = request_erasure(objects, unit, now_ms=_now_ms())
    removed = _done_here(settings, objects, request, time.monotonic() + patience)
    own = writer_of(settings.data_directory)
    if removed is None:
        say("whoever compacts here has not done it yet; it stays asked for: trimtab evidence erasures")
    else:
        say(f"{removed:,} events removed")
    if others := [name for name in pending(objects, request) if name != own]:
        say(f"{len(others)} other data directories keep evidence there and do the same ({', '.join(others)})")
    for line in _left_in_datasets(app, unit):
        say(line)
    if removed is None:
        sys.exit(_EXIT_NO)


def _done_here(settings: Settings, objects: Objects, request: ErasureRequest, deadline: float) -> int | None:
    """Wait until whoever compacts here has done it; if nobody does, this process. `None` where it takes too long.

    Where all others were done before this data directory was one of them, no file is here yet, and opening the
    compactor put it in force for journals.
    """
    from trimtab.bootstrap.evidence import open_compactor
    from trimtab.core.errors import ConflictError
    from trimtab.evidence.erasure_requests import fulfil_erasures, removed_by
    from trimtab.evidence.identity import writer_of

    told = False
    while (removed := removed_by(objects, request, writer_of(settings.data_directory))) is None:
        try:
            with open_compactor(settings) as compactor:
                fulfil_erasures(compactor)
                return removed_by(objects, request, compactor.writer) or 0
        except ConflictError:
            if not told:
                say("waiting for the server or relay that compacts here: it will do it, also if you stop waiting")
                told = True
            if time.monotonic() >= deadline:
                return None
            time.sleep(_POLL_SECONDS)
    return removed


def _left_in_datasets(app: AppContext, unit: str) -> Iterator[str]:
    """Yield what to tell of datasets here with items of a user. They are not changed: a version is what it was."""
    from trimtab.core.errors import TrimtabError
    from trimtab.evals.datasets.files import ItemFiles
    from trimtab.evals.datasets.from_traffic import group_of

    files, group = ItemFiles(app.settings().data_directory.datasets), group_of(unit)
    for digest in files.digests():
        try:
            count = sum(item.group == group for item in files.get(digest))
        except TrimtabError as error:
            yield f"warning: whether {files.path(digest)} has items of theirs is unknown: {error.message}"
            continue
        if count:
            names = ", ".join(_names(app, digest)) or "a dataset"
            yield f"not reached: {quantity(count, 'item')} of {names} in {files.path(digest)}"


def _names(app: AppContext, digest: str) -> list[str]:
    from trimtab.core.errors import TrimtabError

    try:
        with contextlib.closing(app.evals()) as desk:
            return [f"{one.feature}/dataset/{one.name}@v{one.number}" for one in desk.datasets_with(digest)]
    except TrimtabError:
        return []  # what it is called is known elsewhere


@click.command("erasures")
@json_option
@click.pass_obj
def erasures_command(app: AppContext, as_json: bool) -> None:  # noqa: FBT001 - click's signature
    """List who is to be forgotten and is not yet by every machine; how old that is, and for whom it waits.

    Exit status 1 where one is older than `evidence.erasure_hours`.
    """
    settings = app.settings()
    found, now_ms = _open(settings), _now_ms()
    if as_json:
        emit_json(found)
    elif found:
        rows = [(one.unit, when(one.asked_ms), ago(one.asked_ms, now_ms), ", ".join(one.waits_for)) for one in found]
        print(table(("user", "asked (UTC)", "age", "waits for"), rows))
    else:
        say("none is open: everybody that was to be forgotten is, by every writer")
    if any(now_ms - one.asked_ms > settings.evidence.erasure_hours * 3_600_000 for one in found):
        sys.exit(_EXIT_NO)


@click.command("writers")
@json_option
@click.pass_obj
def writers_command(app: AppContext, as_json: bool) -> None:  # noqa: FBT001 - click's signature
    """List the data directories that keep evidence there: when each was last heard of, what it holds, what it owes."""
    from trimtab.evidence.identity import writer_of

    settings = app.settings()
    found, now_ms = _writers(settings), _now_ms()
    if as_json:
        emit_json(found)
        return
    own = writer_of(settings.data_directory)
    rows = [
        (
            one.name + (" (this one)" if one.name == own else ""),
            one.machine or "-",
            f"retired, kept by {one.heir}" if one.heir else ago(one.alive_ms, now_ms) if one.alive_ms else "unknown",
            f"{one.rows:,}",
            f"{one.size:,}",
            f"{one.owes:,}",
        )
        for one in found
    ]
    if rows:
        print(table(("writer", "machine", "last heard of", "events", "bytes", "erasures owed"), rows, right=(3, 4, 5)))
    else:
        say("nobody keeps evidence there yet")


@click.command("retire")
@click.argument("writer")
@click.option("--heir", help="Who looks after its files from now on (default: this data directory).")
@click.option("--silent-for", default="1h", show_default=True, help="It must not have been heard of for so long.")
@click.option("--yes", is_flag=True, help="Do it; without, only tell what would be.")
@click.pass_obj
def retire_command(app: AppContext, writer: str, heir: str | None, silent_for: str, yes: bool) -> None:  # noqa: FBT001 - click's signature
    """Declare WRITER (of `trimtab evidence writers`) gone for good: its disk is lost, or it is switched off.

    Its files stay, and the heir looks after them: erases users from them, merges them, deletes them in time. What was
    only in its journals is lost with them. Should it come back all the same, it goes on under a new name, and puts
    nothing there of anybody who was erased meanwhile.
    """
    from trimtab.evidence.identity import writer_of
    from trimtab.evidence.objects import open_objects
    from trimtab.evidence.writers import check_gone, retire

    settings = app.settings()
    objects, now_ms, silent_ms = open_objects(settings.evidence_location), _now_ms(), round(seconds(silent_for) * 1000)
    heir = heir or writer_of(settings.data_directory)
    gone = check_gone(objects, writer, heir=heir, now_ms=now_ms, silent_ms=silent_ms)
    owed = [one for one in _open(settings) if writer in one.waits_for]
    for line in _what_becomes_of(gone, heir, owed, now_ms):
        say(line)
    if warning := _silent_heir(settings, heir, now_ms):
        say(warning)
    if not yes:
        say("nothing was changed; to do it, add --yes")
        return
    retire(objects, writer, heir=heir, now_ms=now_ms, silent_ms=silent_ms)
    say(f"{writer} is retired; {heir} does what it owed when it next looks, within ten seconds of running")


def _what_becomes_of(gone: Writer, heir: str, owed: list[OpenErasure], now_ms: int) -> list[str]:
    heard = f"last heard of {ago(gone.alive_ms, now_ms)}" if gone.alive_ms else "never heard of by itself"
    newest = f", the newest of {when(gone.newest_ms)} UTC" if gone.newest_ms else ""
    oldest = f", the oldest asked {ago(owed[0].asked_ms, now_ms)}" if owed else ""
    return [
        f"{gone.name} on {gone.machine or 'a machine that never said its name'}, {heard}",
        f"kept: {gone.rows:,} events in {gone.files:,} files, {gone.size:,} bytes{newest}; {heir} looks after them",
        "lost: what is in its journals and not in files, unless it comes back",
        f"erasures: {len(owed):,} wait for it{oldest}; {heir} carries them out in its files",
        "not reached: its disk. Destroy it, or let it come back: then journals there age as everywhere",
    ]


def _silent_heir(settings: Settings, heir: str, now_ms: int) -> str:
    alive_ms = next((one.alive_ms for one in _writers(settings) if one.name == heir), 0)
    if now_ms - alive_ms < _HEARD_MS:
        return ""
    heard = f"was last heard of {ago(alive_ms, now_ms)}" if alive_ms else "was never heard of by itself"
    return f"warning: {heir} {heard}; until a server or relay runs there, erasures wait for it"


def _writers(settings: Settings) -> list[Writer]:
    from trimtab.evidence.objects import open_objects
    from trimtab.evidence.writers import known_writers

    owes: dict[str, int] = {}
    for one in _open(settings):
        for name in one.waits_for:
            owes[name] = owes.get(name, 0) + 1
    return known_writers(open_objects(settings.evidence_location), owes)


def _open(settings: Settings) -> list[OpenErasure]:
    from trimtab.evidence.erasure_requests import open_erasures
    from trimtab.evidence.objects import open_objects

    return open_erasures(open_objects(settings.evidence_location))


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
