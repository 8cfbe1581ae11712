"""trimtab rollout lint and schema: what a `rollout.yaml` says, before it is pushed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from trimtab.cli.output import emit_json, json_option, say
from trimtab.core.errors import SourceError

if TYPE_CHECKING:
    from trimtab.rollout.plan_file import PlanReading

__all__ = ["lint", "schema"]


@click.command("lint")
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path))
@click.option("--strict", is_flag=True, help="Count warnings as errors.")
@json_option
def lint(files: tuple[Path, ...], strict: bool, as_json: bool) -> None:  # noqa: FBT001 - click's signature
    """Tell all that is wrong with a rollout.yaml, and what it will do.

    FILE may be a feature's folder. Exit status 1 where anything is wrong.
    """
    from trimtab.rollout.plan_file import read_plan

    paths = [file / "rollout.yaml" if file.is_dir() else file for file in files]
    readings = {str(path): read_plan(_read(path), path=str(path)) for path in paths}
    wrong = sum(len(reading.errors) for reading in readings.values())
    doubtful = sum(len(reading.warnings) for reading in readings.values())
    failed = bool(wrong or (strict and doubtful))
    if as_json:
        emit_json({"ok": not failed, "files": [_as_json(path, reading) for path, reading in readings.items()]})
    else:
        for path, reading in readings.items():
            _print(path, reading)
        if wrong or doubtful:
            say(f"{_count(wrong, 'error')}, {_count(doubtful, 'warning')}")
    if failed:
        sys.exit(1)


@click.command("schema")
def schema() -> None:
    """Print the JSON Schema of rollout.yaml, for editors."""
    from trimtab.rollout.spec import plan_json_schema

    emit_json(plan_json_schema())


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise SourceError("unreadable_file", f"cannot read the plan: {error.strerror}", path=str(file)) from error


def _print(path: str, reading: PlanReading) -> None:
    for kind, problems in (("error", reading.errors), ("warning", reading.warnings)):
        for problem in problems:
            print(f"{problem.param}: {kind}: {problem.message}")
            if problem.hint:
                print(f"    hint: {problem.hint}")
    if reading.plan is not None:
        print(f"{path}: a sound plan of {_count(len(reading.plan.steps), 'step')}")
        for index, step in enumerate(reading.plan.steps, start=1):
            print(f"{index:>3}. {step.text}")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def _as_json(path: str, reading: PlanReading) -> dict[str, Any]:
    return {
        "path": path,
        "errors": [_problem(error) for error in reading.errors],
        "warnings": [_problem(warning) for warning in reading.warnings],
        "steps": [] if reading.plan is None else [step.text for step in reading.plan.steps],
        "plan": reading.plan,
    }


def _problem(error: SourceError) -> dict[str, str | int | None]:
    return {"line": error.line, "code": error.code, "message": error.message, "hint": error.hint}
