"""trimtab diff."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from trimtab.cli.output import emit_json, json_option, say, table
from trimtab.core.errors import InputError, SourceError
from trimtab.core.quantity import quantity

if TYPE_CHECKING:
    from collections.abc import Callable

    from trimtab.behaviour import BehaviourDiff, Expected
    from trimtab.behaviour.recorded import Match, Recorded, Row

__all__ = ["command"]

_FILE = click.Path(path_type=Path, dir_okay=False)
_WIDEST_BAR = 30
_BAR_FROM = 1000
"""Pairs from which progress is shown."""


@click.command("diff")
@click.argument("old", type=_FILE)
@click.argument("new", type=_FILE)
@click.option("--again", type=_FILE, help="Outputs of the old one asked once more: what differs by itself.")
@click.option(
    "--match", type=click.Choice(["item", "prompt"]), default="item", show_default=True, help="What pairs rows."
)
@click.option("--feature", type=click.Path(path_type=Path, file_okay=False), help="Folder with the schema and tools.")
@click.option("--parser", metavar="MODULE:FUNCTION", help="The feature's own parser, from this folder.")
@click.option("--old-name", help="How to call the old one  [default: its file's name]")
@click.option("--new-name", help="How to call the new one  [default: its file's name]")
@click.option(
    "--alpha",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.01,
    show_default=True,
    help="Chance of any false flag.",
)
@click.option("--markdown", type=_FILE, help="Write a report for a pull request there.")
@click.option("--html", type=_FILE, help="Write a fragment of HTML there.")
@click.option(
    "--fail-on",
    type=click.Choice(["breaks", "content", "style", "any"]),
    help="Exit 1 on such a change, or a worse one.",
)
@click.option(
    "--margin",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    metavar="SHARE",
    help="Exit 1 unless what programs read is shown to be worse in less than this share of the answers, e.g. 0.05.",
)
@json_option
def command(  # noqa: PLR0913 - options
    *,
    old: Path,
    new: Path,
    again: Path | None,
    match: Match,
    feature: Path | None,
    parser: str | None,
    markdown: Path | None,
    html: Path | None,
    fail_on: str | None,
    margin: float | None,
    as_json: bool,
    **said: Any,  # noqa: ANN401 - names and alpha
) -> None:
    """Tell what a change of model, prompt or parameters does to answers, without configuration.

    OLD and NEW are files of JSON lines, one output each: `{"item": "7", "text": "..."}`. More is compared where a row
    says more: `tool_calls`, `finish_reason`, `score`, tokens, cost and times, `slices`. Generations as
    `trimtab evidence export` writes them will do, with --match prompt; of shadow traffic, the mirrored one is the item.

    Some eighty detectors are asked of every output. Where it is a matter of chance which output is the new one,
    anything is flagged with a probability of at most alpha.
    """
    from trimtab.behaviour import diff, html_page_of, markdown_of
    from trimtab.behaviour.recorded import paired

    rows = {path: _rows(path, match) for path in (old, new, again) if path is not None}
    recorded = paired(rows[old], rows[new], None if again is None else rows[again])
    _say_left_over(recorded)
    found = diff(
        recorded.pairs,
        expected=_expected(feature, parser),
        alpha=said["alpha"],
        old_name=said["old_name"] or old.stem,
        new_name=said["new_name"] or new.stem,
        progress=_progress(len(recorded.pairs)),
    )
    for path, page in ((markdown, markdown_of), (html, html_page_of)):
        if path is not None:
            path.write_text(page(found), encoding="utf-8")
    if as_json:
        emit_json(found)
    else:
        _print(found)
    if margin is not None and found.could_lose is not None and found.could_lose.loss >= margin:
        say(f"not shown to be within {100 * margin:g} %: {found.could_lose.text}")
        sys.exit(1)
    if fail_on is None:
        return
    if found.pairs < found.could_see:
        items = quantity(found.pairs, "item")
        say(f"{items} cannot pass: in fewer than {found.could_see:,} no change is told from chance")
        sys.exit(1)
    if _fails(found, fail_on):
        sys.exit(1)


def _rows(path: Path, match: Match) -> list[Row]:
    from trimtab.behaviour.recorded import read_rows

    try:
        with path.open("rb") as file:
            return read_rows(file, str(path), match=match)
    except OSError as error:
        raise SourceError("unreadable_file", f"cannot read it: {error.strerror}", path=str(path)) from error


def _say_left_over(recorded: Recorded) -> None:
    if not recorded.pairs:
        raise InputError(
            "no_pairs",
            "no item has an output in every file",
            hint="rows are paired by `item`, or with --match prompt by what was asked",
        )
    if recorded.old_alone or recorded.new_alone:
        say(f"left out: {quantity(recorded.old_alone, 'item')} only OLD has, {recorded.new_alone:,} only NEW has")
    if recorded.repeated:
        say(f"left out: {quantity(recorded.repeated, 'further output')} of items that had one")


def _expected(feature: Path | None, parser: str | None) -> Expected:
    from trimtab.behaviour import Expected

    schema: dict[str, Any] | None = None
    tools: frozenset[str] | None = None
    if feature is not None:
        from trimtab.artifacts.folder import load_feature
        from trimtab.artifacts.model import SchemaContent, ToolsContent

        for named in load_feature(feature).artifacts:
            if isinstance(named.content, SchemaContent):
                schema = named.content.schema
            elif isinstance(named.content, ToolsContent):
                tools = frozenset(tool.name for tool in named.content.tools)
    return Expected(schema=schema, tools=tools, parser=None if parser is None else _parser(parser))


def _parser(reference: str) -> Callable[[str], object]:
    from trimtab.bootstrap.hooks import load_hook

    return load_hook(reference, ["."], setting="--parser")


def _progress(total: int) -> Callable[[int, int], None] | None:
    if total < _BAR_FROM or not sys.stderr.isatty():
        return None

    def show(done: int, total: int) -> None:
        if done % 100 == 0 or done == total:
            filled = _WIDEST_BAR * done // total
            end = "\n" if done == total else ""
            bar = "#" * filled + "." * (_WIDEST_BAR - filled)
            print(f"\rreading [{bar}] {done:,} of {total:,}", end=end, file=sys.stderr, flush=True)

    return show


def _print(found: BehaviourDiff) -> None:
    from trimtab.behaviour import HEADER, row_of, summary_of

    print("\n".join(summary_of(found)))
    for title, findings in (("", found.flags), ("In slices:", found.slices)):
        if findings:
            print("\n" + title + ("\n" if title else "") + table(HEADER, map(row_of, findings), right=(3, 4, 5)))


def _fails(found: BehaviourDiff, fail_on: str) -> bool:
    from trimtab.behaviour import SEVERITIES

    if fail_on == "any":
        return found.changed
    within = SEVERITIES[: SEVERITIES.index(fail_on) + 1]
    return any(one.severity in within and one.better is not True for one in (*found.flags, *found.slices))
