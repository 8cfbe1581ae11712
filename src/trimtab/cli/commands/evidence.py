"""trimtab evidence: what was recorded, asked in one place whether it is still in journals or long in files."""

from __future__ import annotations

import contextlib
import sys
import time
from typing import TYPE_CHECKING, Any

import click
import msgspec

from trimtab.cli.commands.evidence_erasing import erase_command, erasures_command, retire_command, writers_command
from trimtab.cli.output import emit_json, json_option, say, table, when

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from trimtab.cli.context import AppContext
    from trimtab.evidence.questions import Filter, SignalMean
    from trimtab.evidence.reader import EvidenceReader

__all__ = ["command"]


@click.group("evidence")
def command() -> None:
    """Ask what was recorded, move it into Parquet, keep it in order, and erase what must go."""


def _filtered(inner: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say which generations."""
    for option in reversed(
        (
            click.option("--feature", default="", help="Only this feature."),
            click.option("--since", default="1h", show_default=True, help="How far back: 30m, 1h, 7d."),
            click.option("--release", "release_number", type=int, help="Only the release of this number."),
            click.option(
                "--arm",
                type=click.Choice(["stable", "candidate", "matched_control", "shadow", "challenger"]),
                default=None,
            ),
            click.option("--unit", default="", help="Only this user."),
        )
    ):
        inner = option(inner)
    return inner


@command.command("metrics")
@_filtered
@json_option
@click.pass_obj
def metrics(app: AppContext, /, *, as_json: bool, **which: Any) -> None:  # noqa: ANN401 - options of `_filter`
    """Tell what each release did: requests, errors, latency, cost, feedback and scores."""
    from trimtab.evidence.questions import release_metrics

    with _reader(app) as reader:
        found = release_metrics(reader, _filter(app, **which))
    if as_json:
        emit_json(found)
        return
    rows = [
        (
            one.release,
            one.arm,
            f"{one.requests:,}",
            f"{one.error_rate:.2%}",
            _ms(one.latency_p50_ms),
            _ms(one.latency_p95_ms),
            f"${one.cost_usd:,.4f}",
            _signals(one.feedback | one.scores),
        )
        for one in found
    ]
    header = ("release", "arm", "requests", "errors", "p50", "p95", "cost", "feedback and scores")
    print(table(header, rows, right=(2, 3, 4, 5, 6)))


@command.command("trends")
@_filtered
@click.option("--by", "bucket", type=click.Choice(["minute", "hour", "day"]), default="hour", show_default=True)
@json_option
@click.pass_obj
def trends_command(app: AppContext, /, *, bucket: Any, as_json: bool, **which: Any) -> None:  # noqa: ANN401 - as above
    """Tell how each release did over time."""
    from trimtab.evidence.questions import trends

    with _reader(app) as reader:
        found = trends(reader, _filter(app, **which), bucket=bucket)
    if as_json:
        emit_json(found)
        return
    rows = [
        (when(one.at_ms)[:16], one.release, f"{one.requests:,}", f"{one.error_rate:.2%}", _ms(one.latency_p95_ms),
         f"${one.cost_usd:,.4f}")
        for one in found
    ]  # fmt: skip
    print(table(("from (UTC)", "release", "requests", "errors", "p95", "cost"), rows, right=(2, 3, 4, 5)))


@command.command("failing")
@_filtered
@click.option("--by", default="error", show_default=True, help="`error`, or a score or feedback: below one half.")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True)
@json_option
@click.pass_obj
def failing_command(app: AppContext, /, *, by: str, limit: int, as_json: bool, **which: Any) -> None:  # noqa: ANN401
    """Show generations that failed, with their text."""
    from trimtab.evidence.questions import failing

    with _reader(app) as reader:
        found = failing(reader, _filter(app, **which), by=by, limit=limit)
    if as_json:
        emit_json(found)
        return
    for one in found:
        call = one.generation
        print(f"{call.id}  {when(call.at_ms)}  {call.feature}#{call.release_number} {call.arm}  {one.why}")
        asked = call.messages[-1].get("content", "") if call.messages else "(content is not captured)"
        print(f"  asked   {_line(asked)}\n  answer  {_line(call.output) or '-'}\n")
    if not found:
        say("nothing failed")


@command.command("export")
@_filtered
@click.option("--status", type=click.Choice(["ok", "error", "aborted"]), default=None)
@click.option("--limit", type=click.IntRange(min=1), help="At most so many, the oldest first.")
@click.pass_obj
def export(app: AppContext, /, *, limit: int | None, **which: Any) -> None:  # noqa: ANN401 - as above
    """Write generations to stdout as JSON lines, oldest first: the raw material of a dataset."""
    from trimtab.evidence.questions import extract

    count = 0
    encode = msgspec.json.Encoder().encode
    with _reader(app) as reader:
        for generation in extract(reader, _filter(app, **which), limit=limit):
            sys.stdout.buffer.write(encode(generation) + b"\n")
            count += 1
    say(f"{count:,} generations")


@command.command("sql")
@click.argument("query")
@json_option
@click.pass_obj
def sql(app: AppContext, query: str, as_json: bool) -> None:  # noqa: FBT001 - click's signature
    """Answer a SQL query (DuckDB's) over generations, exposures, scores, feedback and withdrawals."""
    with _reader(app) as reader:
        found = reader.query(query)
    rows = found.to_pylist()
    if as_json:
        emit_json(rows)
    else:
        print(table(found.column_names, [tuple(row.values()) for row in rows]))


@command.command("compact")
@click.pass_obj
def compact(app: AppContext) -> None:
    """Move what is in journals into files now; a running `trimtab server` does so by itself."""
    from trimtab.bootstrap.evidence import open_compactor
    from trimtab.evidence.upkeep import merge

    with open_compactor(app.settings()) as compactor:
        events = 0
        while True:
            done = compactor.run()
            events += done.events
            if not done.more:
                break
        fewer = merge(compactor, limit=1_000)
        files = compactor.state.files.values()
        rows, size = sum(file.rows for file in files), sum(file.size for file in files)
    say(
        f"{events:,} events moved, {fewer:,} files merged away; {rows:,} events in {len(files):,} files, {size:,} bytes"
    )


@contextlib.contextmanager
def _reader(app: AppContext) -> Iterator[EvidenceReader]:
    from trimtab.bootstrap.evidence_reader import open_reader

    reader = open_reader(app.settings())
    try:
        yield reader
    finally:
        reader.close()


def _filter(app: AppContext, *, since: str, **which: Any) -> Filter:  # noqa: ANN401 - fields of `Filter`
    from trimtab.evidence.questions import Filter
    from trimtab.rollout.steps import seconds

    now_ms = time.time_ns() // 1_000_000
    span = (max(0, now_ms - round(1000 * seconds(since))), now_ms + 1)
    given = {name: value for name, value in which.items() if value is not None}
    return Filter(environment=app.settings().environment, span=span, **given)


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f} ms"


def _signals(found: dict[str, SignalMean]) -> str:
    return ", ".join(f"{name} {one.mean:.3g} ({one.generations:,})" for name, one in sorted(found.items())) or "-"


def _line(text: object) -> str:
    return " ".join(str(text).split())[:160]


for _one in (erase_command, erasures_command, writers_command, retire_command):
    command.add_command(_one)
