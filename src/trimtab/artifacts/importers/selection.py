"""Choosing one of several, and files beside a file: an importer never picks in silence and never wanders off."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from trimtab.artifacts.document import Node

__all__ = ["beside", "select"]

Item = TypeVar("Item")


def beside(place: Node, folder: Path, name: str) -> Path:
    """Return the path of a file that a prompt names; raises `SourceError` for one outside the prompt's own folder.

    An imported text is sent to a provider, so a prompt file from elsewhere must not fetch what lies on this machine.
    """
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise place.error(
            "outside_folder",
            f"`{name}` lies outside the folder of the file that names it",
            hint="copy it beside that file, if it is meant to be part of the prompt",
        )
    return path


def select(place: Node, named: Sequence[tuple[str, Item]], wanted: str | None, *, what: str) -> Item:
    """Return the one item, or the one that is wanted by name, `name@...` or position (from 1).

    Raises `SourceError`: `several_choices` listing them, `no_choice` where there is none of that name.
    """
    if wanted is None:
        if len(named) == 1:
            return named[0][1]
        if not named:
            raise place.error("no_choice", f"there is no {what} in this file")
        raise place.error(
            "several_choices",
            f"this file has {len(named)} {what}s: {_list(named)}",
            hint=f"import one at a time: choose with {what}=NAME or {what}=NUMBER",
        )
    matching = [item for name, item in named if wanted in {name, name.rpartition("@")[0]}]
    if len(matching) == 1:
        return matching[0]
    if not matching and wanted.isdecimal() and 0 < int(wanted) <= len(named):
        return named[int(wanted) - 1][1]
    code = "several_choices" if matching else "no_choice"
    count = len(matching) or "no"
    raise place.error(code, f"{count} {what}s are called `{wanted}`; there are: {_list(named)}")


def _list(named: Sequence[tuple[str, object]]) -> str:
    shown = [f"{number}. {' '.join(name.split())[:60]}" for number, (name, _) in enumerate(named, 1)]
    return "; ".join(shown)
