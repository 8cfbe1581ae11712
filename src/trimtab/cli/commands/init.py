"""trimtab init."""

from __future__ import annotations

from importlib.resources import as_file, files
from pathlib import Path
from shutil import copytree, ignore_patterns

import click

from trimtab.cli.output import say
from trimtab.core.errors import ConflictError
from trimtab.core.ids import check_name

__all__ = ["command"]

_EXAMPLE = "support-reply"


@click.command("init")
@click.argument("folder", type=click.Path(path_type=Path))
def command(folder: Path) -> None:
    """Write an example feature FOLDER to start from; the feature is named as the folder is."""
    feature = check_name(folder.resolve().name, what="feature")
    if folder.exists():
        raise ConflictError(
            "folder_exists", f"{folder} is there already, nothing was written", hint="name a new folder"
        )
    with as_file(files("trimtab.demo") / _EXAMPLE) as example:
        copytree(example, folder, ignore=ignore_patterns("__pycache__"))
    (folder / f"{_EXAMPLE}.prompt.yml").rename(folder / f"{feature}.prompt.yml")
    settings = folder / "feature.yaml"
    settings.write_text(settings.read_text().replace(_EXAMPLE, feature))
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            print(path)
    say(f"next: trimtab push {folder}")
