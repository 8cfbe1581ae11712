"""trimtab init."""

from __future__ import annotations

from importlib.resources import as_file, files
from pathlib import Path
from shutil import copytree, ignore_patterns

import click

from trimtab.cli.output import say
from trimtab.core.errors import ConflictError

__all__ = ["command"]


@click.command("init")
@click.argument("folder", type=click.Path(path_type=Path))
def command(folder: Path) -> None:
    """Write an example feature FOLDER to start from."""
    if folder.exists():
        raise ConflictError(
            "folder_exists", f"{folder} is there already, nothing was written", hint="name a new folder"
        )
    with as_file(files("trimtab.demo") / "support-reply") as example:
        copytree(example, folder, ignore=ignore_patterns("__pycache__"))
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            print(path)
    say(f"next: trimtab push {folder}")
