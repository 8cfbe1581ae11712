"""trimtab prompt."""

from __future__ import annotations

from pathlib import Path

import click

from trimtab.cli.output import say
from trimtab.core.errors import ConflictError

__all__ = ["command"]

_FORMATS = ("auto", "dotprompt", "prompty", "promptfoo", "langfuse", "openai")


@click.group("prompt")
def command() -> None:
    """Import prompts from other tools' formats."""


@command.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--to", "folder", required=True, type=click.Path(path_type=Path), help="Feature folder to write.")
@click.option("--format", "format_name", type=click.Choice(_FORMATS), default="auto", show_default=True)
@click.option("--prompt", help="Which prompt, where the file holds several: label, id or position from 1.")
@click.option("--provider", help="Which provider, where a promptfoo configuration names several.")
@click.option("--model", help="`provider/model`, where the file names none.")
def import_(
    file: Path, folder: Path, format_name: str, prompt: str | None, provider: str | None, model: str | None
) -> None:
    """Turn FILE into a feature folder, and say what could not be carried.

    FILE is a Dotprompt, a Prompty, a promptfoo configuration, a Langfuse export or an OpenAI stored prompt as JSON.
    """
    from trimtab.artifacts.importers import import_prompt

    imported = import_prompt(file, format_name, prompt=prompt, provider=provider, model=model)
    taken = [name for name in imported.files if (folder / name).exists()]
    if taken:
        raise ConflictError(
            "file_exists",
            f"{folder / taken[0]} is there already, nothing was written",
            hint="import into a new folder and compare",
        )
    for name, content in imported.files.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        print(target)
    for note in imported.notes:
        say(f"note: {note}")
    say(f"next: trimtab push {folder}")
