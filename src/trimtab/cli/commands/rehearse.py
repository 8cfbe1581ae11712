"""trimtab rehearse."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from trimtab.cli.output import emit_json, json_option, say
from trimtab.core.errors import InputError, SourceError

if TYPE_CHECKING:
    from trimtab.cli.context import AppContext
    from trimtab.control.recorded import RecordedUsers
    from trimtab.rollout.rehearsal import Baseline, Crowd
    from trimtab.rollout.spec import RolloutPlan

__all__ = ["command"]

_DAY_SECONDS = 86_400
_REQUESTS_PER_VISIT = 2.0
_VISITS_PER_USER = 0.5
"""A day, where nothing says how many users there are: everybody comes every other day."""


@click.command("rehearse")
@click.argument("file", type=click.Path(path_type=Path), default=Path("rollout.yaml"))
@click.option("--traffic", metavar="RATE", help="Requests: 10000/day, 1.5k/hour, 20/s.")
@click.option("--fault", "faults", metavar="METRIC:N%", multiple=True, help="What is wrong with the candidate.")
@click.option("--like", metavar="FEATURE", help="Users as they were recorded for a feature here, traffic included.")
@click.option("--users", type=click.IntRange(min=2), help="How many there are  [default: two days' visits]")
@click.option("--per-visit", type=click.FloatRange(1, 1000), help="Requests of a visit, on average  [default: 2]")
@click.option("--runs", type=click.IntRange(10, 10_000), default=200, show_default=True, help="Rehearsals of each.")
@click.option("--seed", type=int, default=0, show_default=True, help="The same seed gives the same report.")
@click.option("--svg", type=click.Path(path_type=Path, dir_okay=False), help="Write the picture there.")
@json_option
@click.pass_obj
def command(  # noqa: PLR0913 - options
    app: AppContext,
    /,
    *,
    file: Path,
    faults: tuple[str, ...],
    runs: int,
    seed: int,
    svg: Path | None,
    as_json: bool,
    **said: Any,  # noqa: ANN401 - options of `_scenery`
) -> None:
    """Tell what to expect of a rollout plan before anybody meets it.

    FILE is a rollout.yaml, or the folder it lies in. The plan is played many times over simulated users, by the same
    state machine and with the same statistics as in production: once with an unchanged candidate, which ought to be
    promoted, and once with the faults given, which ought to be rolled back.

    A fault is `error:3%` (in 3 % of the answers), `latency:+20%`, or `latency:2x`; name several to rehearse them
    together. `parse:3%` is one of whatever the plan reads answers by: `schema`, else `format`.
    """
    from trimtab.cli.rehearsal_view import rehearsal_lines
    from trimtab.rollout.rehearsal import Scene, parse_fault, rehearsal_work, rehearse
    from trimtab.rollout.rehearsal.picture import draw_svg
    from trimtab.serving.durable_file import write_atomically

    plan = _read_plan(file)
    wrong = [parse_fault(text, plan.metrics) for text in faults]
    crowd, baseline = _scenery(app, plan, **said)
    if svg is not None:
        _check_writable(svg)
    work = rehearsal_work(plan, wrong, runs)
    with click.progressbar(length=work, label="rehearsing", file=sys.stderr, hidden=not sys.stderr.isatty()) as bar:
        report = rehearse(Scene(plan, crowd, baseline), wrong, runs=runs, seed=seed, progress=bar.update)
    if svg is not None:
        write_atomically(svg, draw_svg(report).encode(), durable=False)
        say(f"picture: {svg}")
    if as_json:
        emit_json(report)
        return
    for line in rehearsal_lines(report):
        print(line)


def _scenery(
    app: AppContext,
    plan: RolloutPlan,
    *,
    traffic: str | None,
    like: str | None,
    users: int | None,
    per_visit: float | None,
) -> tuple[Crowd, Baseline]:
    """Return who comes and what they measure: as recorded, else as assumed, and always as said."""
    from trimtab.rollout.rehearsal import Crowd, default_baseline, parse_traffic

    known = None if like is None else _recorded(app, plan, like)
    if known is None and traffic is None:
        raise InputError(
            "missing_traffic",
            "how many requests are there?",
            param="traffic",
            hint="--traffic 10000/day, or --like FEATURE for what is recorded here",
        )
    rate = known.crowd.requests_per_second if known else 0.0
    if traffic is not None:
        rate = parse_traffic(traffic)
    visit = per_visit or (known.crowd.requests_per_visit if known else _REQUESTS_PER_VISIT)
    if known:  # other traffic than was recorded is other users, who come as often
        there_are = known.users * rate / known.crowd.requests_per_second
    else:
        there_are = rate * _DAY_SECONDS / visit / _VISITS_PER_USER
    crowd = Crowd(requests_per_second=rate, requests_per_visit=visit, users=users or max(2, round(there_are)))
    assumed = default_baseline(plan.metrics)
    return crowd, assumed | known.baseline if known else assumed


def _recorded(app: AppContext, plan: RolloutPlan, feature: str) -> RecordedUsers:
    from trimtab.analysis.scorers import ScorerLibrary
    from trimtab.control.recorded import recorded_users

    settings = app.settings()
    known = recorded_users(
        settings.data_directory,
        feature=feature,
        environment=settings.environment,
        meters=ScorerLibrary([Path(path) for path in settings.server.scorer_path]).meters(plan.metrics),
        window_ms=plan.window_ms,
    )
    say(f"as {known.users:,} users of {feature} in {known.generations:,} recorded calls")
    return known


def _read_plan(file: Path) -> RolloutPlan:
    """Return the plan; every complaint about it is told, as `trimtab rollout lint` does."""
    from trimtab.rollout.plan_file import read_plan

    path = file / "rollout.yaml" if file.is_dir() else file
    try:
        content = path.read_bytes()
    except OSError as error:
        hint = "name the file or its folder: trimtab rehearse support-reply"
        raise SourceError(
            "unreadable_file", f"cannot read the plan: {error.strerror}", path=str(path), hint=hint
        ) from error
    found = read_plan(content, path=str(path))
    for warning in found.warnings:
        say(f"warning: {warning}")
    for problem in found.errors[:-1]:
        say(f"error: {problem}")
    if found.plan is None:
        raise found.errors[-1]
    return found.plan


def _check_writable(path: Path) -> None:
    """Raise `InputError` before minutes of work where the picture could not be written after them."""
    try:
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise InputError(
            "unwritable_file",
            f"cannot write {path}: {error.strerror}",
            param="svg",
            hint="name a file in a folder of yours",
        ) from error
