"""trimtab migration."""

from __future__ import annotations

import contextlib
import sys
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import click
import msgspec

from trimtab.cli.output import always_json, emit_json, json_option, say, table
from trimtab.core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from trimtab.cli.context import AppContext
    from trimtab.control.migrations import MigrationDesk
    from trimtab.migration.ports import Asker
    from trimtab.migration.status import MigrationStatus

__all__ = ["command"]

_STATES = ("golden", "lint", "diff", "adapt", "judges", "shadow")
_ALL_STATES = ("inventory", *_STATES, "canary", "cutover", "retire")
_which = click.argument("migration", required=False)
_fork = click.option("--fork", metavar="FEATURE", help="Which feature, where the plan has several.")
_reason = click.option("--reason", required=True, help="Why; kept in the audit log.")


@click.group("migration")
def command() -> None:
    """Replace a model by another one, feature by feature, with a gate and a way back at every step.

    MIGRATION is an id; without it, the only one that is under way is meant.
    """


@command.command("plan")
@click.option("--from", "source", required=True, metavar="MODEL", help="The old model, e.g. openai/gpt-4o-2024-08-06.")
@click.option("--to", "target", required=True, metavar="MODEL", help="The new one.")
@click.option(
    "--set", "pins", multiple=True, metavar="NAME=JSON", help="Pin a parameter for the new one; null drops it."
)
@click.option("--lead-days", type=float, help="How long a migration takes  [default: migration.lead_days]")
@click.option("--soak-hours", type=float, help="How long to watch after the cutover  [default: migration.soak_hours]")
@click.option("--zero-call-hours", type=float, help="How long nobody may have called the old one before it is retired.")
@click.option(
    "--margin",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    metavar="SHARE",
    help="Adapting passes only where what programs read is shown to be worse in less than this share of the held-out "
    "answers, e.g. 0.05  [default: migration.margin, which is only told where it is unset]",
)
@click.option("--golden-items", type=click.IntRange(min=1), help="Recorded calls of each feature to replay, at most.")
@click.option("--min-items", type=click.IntRange(min=1), help="Recorded calls of each feature to replay, at least.")
@json_option
@click.pass_obj
def plan(app: AppContext, /, *, source: str, target: str, pins: tuple[str, ...], as_json: bool, **given: Any) -> None:  # noqa: ANN401 - fields of the options
    """Begin a migration, or look at the one that is under way: what calls the old model, and what will change.

    Nothing is called and nobody is served otherwise: that is `trimtab migration run`.
    """
    from trimtab.bootstrap.migrations import migration_options
    from trimtab.cli.migration_view import finding_lines, inventory_lines

    options = migration_options(app.settings(), parameters=_pins(pins), **given)
    with _desk(app) as desk:
        known = {one.migration.id for one in desk.migrations()}
        status = desk.start(source, target, options)
        started = status.migration.id not in known
        if not status.forks:
            status = desk.look(status.migration.id)
        if as_json:
            emit_json(status)
            return
        for line in inventory_lines(desk.artifact(status.migration.id, "inventory")):
            print(line)
        print("\nwhat changes for parameters")
        for fork, findings in desk.preview(status.migration.id).items():
            for line in finding_lines(fork, findings) if findings else (f"  {fork}  nothing",):
                print(line)
        print()
        _print(status)
        if status.migration.options != options and not started:
            say("this plan was under way: it keeps what it was begun with")


@command.command("status")
@_which
@json_option
@click.pass_obj
def status_command(app: AppContext, migration: str | None, as_json: bool) -> None:  # noqa: FBT001 - click's signature
    """Tell what is next, what blocks it, and until when."""
    with _desk(app) as desk:
        status = desk.status(migration)
        if as_json:
            emit_json(status)
            return
        _print(status)
        _print_told(desk, status)


@command.command("list")
@json_option
@click.pass_obj
def list_command(app: AppContext, as_json: bool) -> None:  # noqa: FBT001 - click's signature
    """List migrations, newest first."""
    from trimtab.cli.migration_view import summary_rows

    with _desk(app) as desk:
        found = desk.migrations()
    if as_json:
        emit_json(found)
    elif found:
        print(table(("migration", "from", "to", "state", "features", "shutdown", ""), summary_rows(found)))
    else:
        say("none yet; begin one: trimtab migration plan --from MODEL --to MODEL")


@command.command("run")
@_which
@click.option("--follow", is_flag=True, help="Go on until a person is needed or it is complete.")
@click.option("--budget", type=click.FloatRange(min=0), metavar="USD", help="What asking models may cost in this run.")
@click.option("--every", type=click.FloatRange(min=0.1), default=10.0, show_default=True, help="Seconds between looks.")
@json_option
@click.pass_obj
def run_command(
    app: AppContext,
    migration: str | None,
    follow: bool,  # noqa: FBT001 - click's signature
    budget: float | None,
    every: float,
    as_json: bool,  # noqa: FBT001 - click's signature
) -> None:
    """Do the work that is due: ask models, compare, begin rollouts, follow them.

    What was done is kept: interrupted or killed, it is run again and goes on from there. Exit status 1 where a gate
    says no or a person is needed.
    """
    with _asker(app, budget) as asker, _desk(app, asker=asker) as desk:
        status = _run(desk, migration)
        told = _tell_waiting(status, set()) if follow else set()
        while follow and not _stands_still(status):
            time.sleep(every)
            status = _run(desk, status.migration.id)
            told = _tell_waiting(status, told)
        if as_json:
            emit_json(status)
        else:
            _print(status)
            _print_told(desk, status)
    if any(fork.standing in {"blocked", "held"} for fork in status.forks) or not status.forks:
        sys.exit(1)


@command.command("ack")
@_which
@_fork
@click.option("--finding", "findings", multiple=True, help="One finding's id; all that are open where none is named.")
@_reason
@json_option
@click.pass_obj
def ack(
    app: AppContext,
    migration: str | None,
    fork: str | None,
    findings: tuple[str, ...],
    reason: str,
    as_json: bool,  # noqa: FBT001 - click's signature
) -> None:
    """Acknowledge what the parameter lint found: you saw it, and the plan does the right thing about it."""
    _tell(
        app,
        lambda desk: desk.acknowledge(migration, fork=fork, findings=list(findings), reason=reason),
        as_json=as_json,
    )


@command.command("approve")
@_which
@_fork
@_reason
@json_option
@click.pass_obj
def approve(app: AppContext, migration: str | None, fork: str | None, reason: str, as_json: bool) -> None:  # noqa: FBT001 - click's signature
    """Let a feature go on that is held, or past a gate that said no: on your word, in the audit log."""
    _tell(app, lambda desk: desk.approve(migration, fork=fork, reason=reason), as_json=as_json)


@command.command("rollback")
@_which
@_fork
@click.option("--to", type=click.Choice(_STATES), help="How far back  [default: what the state at hand says]")
@_reason
@json_option
@click.pass_obj
def rollback(
    app: AppContext,
    migration: str | None,
    fork: str | None,
    to: Any,  # noqa: ANN401 - one of the choices
    reason: str,
    as_json: bool,  # noqa: FBT001 - click's signature
) -> None:
    """Send a feature back to an earlier state; users who meet the new model go back to the old one at once."""
    _tell(app, lambda desk: desk.roll_back(migration, fork=fork, to=to, reason=reason), as_json=as_json)


@command.command("abandon")
@_which
@_reason
@json_option
@click.pass_obj
def abandon(app: AppContext, migration: str | None, reason: str, as_json: bool) -> None:  # noqa: FBT001 - click's signature
    """Give a plan up; no user may be on the new model through it."""
    _tell(app, lambda desk: desk.abandon(migration, reason=reason), as_json=as_json)


@command.command("show")
@click.argument("state", type=click.Choice(_ALL_STATES))
@_which
@_fork
@always_json
@click.pass_obj
def show(app: AppContext, state: Any, migration: str | None, fork: str | None) -> None:  # noqa: ANN401 - one of the choices
    """Print what STATE wrote, as JSON: the artefact that its gate decided on."""
    with _desk(app) as desk:
        emit_json(desk.artifact(migration, state, fork or ""))


def _pins(pins: tuple[str, ...]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for pin in pins:
        name, equals, value = pin.partition("=")
        try:
            found[name.strip()] = msgspec.json.decode(value)
        except msgspec.DecodeError as error:
            raise InputError("malformed_pin", f"`{pin}`: {error}", param="set", hint="--set max_tokens=1024") from error
        if not equals or not name.strip():
            raise InputError("malformed_pin", f"`{pin}` pins nothing", param="set", hint="--set max_tokens=1024")
    return found


@contextlib.contextmanager
def _desk(app: AppContext, *, asker: Asker | None = None) -> Iterator[MigrationDesk]:
    from trimtab.bootstrap.migrations import open_migrations

    desk = open_migrations(app.settings(), asker=asker)
    try:
        yield desk
    finally:
        desk.close()


@contextlib.contextmanager
def _asker(app: AppContext, budget_usd: float | None) -> Iterator[Asker]:
    from trimtab.bootstrap.data_plane import endpoints
    from trimtab.bootstrap.prices import price_of
    from trimtab.evaluation.models import CalledModels
    from trimtab.migration.asker import BookAsker

    settings = app.settings()
    models = partial(CalledModels, endpoints(settings), prices=price_of)
    asker = BookAsker(models, settings.data_directory.evals / "answers", budget_usd=budget_usd)
    try:
        yield asker
    finally:
        asker.close()


def _run(desk: MigrationDesk, migration: str | None) -> MigrationStatus:
    shown = sys.stderr.isatty()
    last = ""

    def progress(what: str, done: int, total: int) -> None:
        nonlocal last
        if shown:
            print(f"\r\033[K{what} {done:,}/{total:,}", end="", file=sys.stderr, flush=True)
        elif what != last:
            say(what)
        last = what

    try:
        return desk.run(migration, progress=progress)
    finally:
        if shown and last:
            print("\r\033[K", end="", file=sys.stderr, flush=True)


def _tell_waiting(status: MigrationStatus, told: set[str]) -> set[str]:
    """Say what is waited for, unless that was said the last time; returns what was said."""
    from trimtab.cli.migration_view import waiting_lines

    lines = list(waiting_lines(status))
    for line in lines:
        if line not in told:
            say(line)
    return set(lines)


def _stands_still(status: MigrationStatus) -> bool:
    """Whether only people can do anything now."""
    return not any(fork.standing in {"due", "waiting"} for fork in status.forks)


def _tell(app: AppContext, do: Callable[[MigrationDesk], MigrationStatus], *, as_json: bool) -> None:
    with _desk(app) as desk:
        status = do(desk)
    if as_json:
        emit_json(status)
    else:
        _print(status)


def _print(status: MigrationStatus) -> None:
    from trimtab.cli.migration_view import status_lines

    for line in status_lines(status):
        print(line)


def _print_told(desk: MigrationDesk, status: MigrationStatus) -> None:
    """Print what a person has to read before deciding."""
    from trimtab.cli.migration_view import difference_lines, finding_lines

    for line in difference_lines(desk.story(status.migration.id)):
        print(line)
    open_ones = [fork.name for fork in status.forks if fork.open_findings]
    if not open_ones:
        return
    print("\nparameters")
    for fork in open_ones:
        for line in finding_lines(fork, desk.findings(status.migration.id, fork)):
            print(line)
