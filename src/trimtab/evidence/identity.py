"""Under which name a data directory writes evidence: drawn once, for it travels with the journals."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from trimtab.evidence.log import read_retired
from trimtab.serving.durable_file import write_atomically

if TYPE_CHECKING:
    from pathlib import Path

    from trimtab.evidence.objects import Objects
    from trimtab.serving.directory import DataDirectory

__all__ = ["Identity", "identify", "writer_of"]


class Identity(NamedTuple):
    """Who a data directory is."""

    name: str
    was: str = ""
    """Its name before it was retired, whose log says how far journals are in files; empty where it had none."""


def writer_of(directory: DataDirectory) -> str:
    """Return the name under which this data directory writes evidence."""
    return _identity(directory).name


def identify(objects: Objects, directory: DataDirectory) -> Identity:
    """Return who writes: somebody new where the one that this directory was is retired. Hold the compactor's lock."""
    while True:
        known = _identity(directory)
        retired = read_retired(objects, known.name)
        if retired is None:
            return known
        was = known.name if retired.as_of else known.was  # one that never committed knows nothing of journals
        write_atomically(_path(directory), f"{_drawn()}\n{was}".encode(), durable=True)


def _identity(directory: DataDirectory) -> Identity:
    try:
        name, _, was = _path(directory).read_text().strip().partition("\n")
    except FileNotFoundError:
        name, was = _drawn(), ""
        write_atomically(_path(directory), name.encode(), durable=True)
    return Identity(name, was)


def _path(directory: DataDirectory) -> Path:
    return directory.root / "compactor.id"


def _drawn() -> str:
    return os.urandom(4).hex()
