"""A migration in words, for the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from trimtab.cli.output import table, when
from trimtab.migration.inventory import Inventory
from trimtab.migration.states import STATES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from trimtab.control.migrations import FindingStatus, MigrationStory
    from trimtab.migration.status import ForkStatus, MigrationStatus

__all__ = ["difference_lines", "finding_lines", "inventory_lines", "status_lines", "summary_rows", "waiting_lines"]

_MARKS = {"done": "done", "due": "next", "waiting": "waiting", "blocked": "BLOCKED", "held": "HELD"}


def status_lines(status: MigrationStatus) -> Iterator[str]:
    """Yield where a migration stands: what is next, what blocks it, until when."""
    plan = status.migration
    yield f"{plan.id}  {plan.source.text} -> {plan.target.text}  in {plan.environment}"
    for alarm in status.alarms:
        yield f"ALARM  {alarm}"
    if status.deadline is not None and not status.deadline.late:
        yield f"deadline  {plan.source.text} will be {status.deadline.text}"
    if status.deadline is None:
        yield f"deadline  no shutdown date of {plan.source.text} is known"
    if plan.options.margin is not None:
        yield f"margin  {100 * plan.options.margin:g} % of the held-out answers, in what programs read"
    last = len(STATES) - 1
    yield f"state  {status.state}" + (f" ({status.number} of {last})" if plan.status == "live" else "")
    for fork in status.forks:
        yield from _fork_lines(fork)
    yield ""
    yield "next"
    yield from (f"  {one}" for one in status.next)


def waiting_lines(status: MigrationStatus) -> Iterator[str]:
    """Yield, in a line each, where the forks stand that go on without people."""
    for fork in status.forks:
        if fork.standing == "waiting":
            until = f" until {when(fork.until_ms)} UTC" if fork.until_ms is not None else ""
            why = "; ".join(fork.blocked_by)
            yield f"{fork.name}: {fork.title.lower()}, waiting{until}{f': {why}' if why else ''}"


def _fork_lines(fork: ForkStatus) -> Iterator[str]:
    yield ""
    yield f"{fork.name}#{fork.release_number}"
    rows = []
    for state in STATES[1:]:
        passed = fork.passed.get(state.name)
        if passed is not None:
            by = f"overridden by {passed.override.actor}: {passed.override.reason}" if passed.override else ""
            rows.append((f"  {STATES.index(state)}", state.title, "passed", when(passed.at_ms), by))
        elif state.name == fork.state:
            until = f"until {when(fork.until_ms)} UTC" if fork.until_ms is not None else ""
            rows.append(
                (f"  {STATES.index(state)}", state.title, _MARKS[fork.standing], until, "; ".join(fork.blocked_by))
            )
    yield table(("  #", "state", "", "when (UTC)", "why"), rows)
    if fork.candidate:
        yield f"  candidate {fork.candidate}" + (f", rollout {fork.rollout}" if fork.rollout else "")
    for finding in fork.open_findings:
        yield f"  to acknowledge: {finding}"


def summary_rows(statuses: Iterable[MigrationStatus]) -> list[tuple[str, ...]]:
    """Return one row for each migration."""
    return [
        (
            one.migration.id,
            one.migration.source.text,
            one.migration.target.text,
            one.state,
            ", ".join(f"{fork.name}: {fork.title.lower()} ({fork.standing})" for fork in one.forks),
            one.deadline.shutdown if one.deadline else "-",
            "ALARM" if one.alarms else "",
        )
        for one in statuses
    ]


def inventory_lines(content: dict[str, Any]) -> Iterator[str]:
    """Yield what calls the old model."""
    found = msgspec.convert(content, Inventory)
    named = f", an alias of {found.stands_for} today" if found.stands_for else f" ({found.naming})"
    yield f"inventory of {found.environment}: what calls {found.source.text}{named}"
    traffic = {one.feature: one for one in found.traffic}
    rows = []
    for use in found.uses:
        seen = traffic.get(use.feature)
        parameters = " ".join(f"{name}={msgspec.json.encode(value).decode()}" for name, value in use.parameters.items())
        rows.append(
            (
                f"  {use.feature}#{use.number}",
                use.team,
                use.role,
                f"{seen.calls:,}" if seen else "0",
                f"{seen.errors / seen.calls:.1%}" if seen and seen.calls else "-",
                f"${seen.cost_usd:,.2f}" if seen else "-",
                parameters or "-",
            )
        )
    if rows:
        yield table(("  feature", "team", "role", "calls", "errors", "cost", "pins"), rows, right=(3, 4, 5))
    else:
        yield "  no feature's stable release"
    for feature, forks in found.forks.items():
        for fork in forks:
            releases = ", ".join(f"#{number}" for number in fork.releases)
            yield f"  {feature}: prompt {fork.prompt[7:19]} was released with {', '.join(fork.models)} ({releases})"
    if found.elsewhere:
        yield f"  called by features whose stable release does not name it: {', '.join(found.elsewhere)}"
    if found.consumers:
        yield "\nwho calls it"
        senders = [
            (f"  {one.feature}", one.team or "no key", one.process, f"{one.calls:,}", when(one.last_ms))
            for one in found.consumers[:10]
        ]
        yield table(("  feature", "team", "process", "calls", "last (UTC)"), senders, right=(3,))
        more = len(found.consumers) - len(senders)
        if more:
            yield f"  and {more} more"


def difference_lines(story: MigrationStory) -> Iterator[str]:
    """Yield what people are to read of the forks that wait for them: what changes, and what it is mended by."""
    target = story.status.migration.target.text
    for fork in story.status.forks:
        if fork.standing not in {"held", "blocked"}:
            continue
        for title, words in (
            (f"what {target} does differently, with nothing else changed", story.words),
            ("what takes the old release's place", story.adapted),
            ("judges", story.judges),
        ):
            told = words.get(fork.name, [])
            if told:
                yield f"\n{fork.name}: {title}"
                yield from (f"  {one}" for one in told)


def finding_lines(fork: str, findings: Iterable[FindingStatus]) -> Iterator[str]:
    """Yield what the parameter lint found for a fork."""
    for one in findings:
        state = f"acknowledged by {one.acknowledged_by}" if one.acknowledged_by else "to acknowledge"
        yield f"  {fork}  {one.id}  ({state})"
        yield f"    {one.says}"
        yield f"    the plan: {one.does}"
        if one.source:
            yield f"    source: {one.source}"
