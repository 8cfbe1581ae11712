"""The ten states of a migration: what each makes, what lets it pass, and what going back undoes."""

from __future__ import annotations

from typing import Literal, get_args

import msgspec

__all__ = ["FIRST", "LAST", "ROLLOUT_STATES", "STATES", "StateInfo", "StateName", "after", "before", "info", "place"]

StateName = Literal["inventory", "golden", "lint", "diff", "adapt", "judges", "shadow", "canary", "cutover", "retire"]

_NAMES: tuple[StateName, ...] = get_args(StateName)


class StateInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One state, in words."""

    name: StateName
    title: str
    artefact: str
    """What it writes."""
    gate: str
    """What lets a fork pass."""
    rollback: str
    """What going back undoes."""
    back_to: StateName
    """Where `trimtab migration rollback` leads without `--to`."""
    overridable: bool
    """Whether a person may pass a failed gate with a reason (`trimtab migration approve`)."""


STATES: tuple[StateInfo, ...] = (
    StateInfo(
        name="inventory",
        title="Inventory",
        artefact="features that call the old model, their prompts and parameters, traffic, consumers, shutdown date",
        gate="at least one feature's stable release calls the old model",
        rollback="nothing to undo: abandon the plan",
        back_to="inventory",
        overridable=False,
    ),
    StateInfo(
        name="golden",
        title="Golden set",
        artefact="recorded calls, stratified, without duplicates, split into train and held-out, and how much the old "
        "model differs from itself when asked twice",
        gate="enough items, and the old model answers them",
        rollback="the golden set is drawn anew",
        back_to="golden",
        overridable=True,
    ),
    StateInfo(
        name="lint",
        title="Parameter lint",
        artefact="what the new model refuses, ignores or means differently, and the parameters it will get",
        gate="a person has acknowledged every finding",
        rollback="acknowledgements are kept, findings are looked up again",
        back_to="golden",
        overridable=False,
    ),
    StateInfo(
        name="diff",
        title="Behavioural diff",
        artefact="what the new model does differently on the golden set, in excess of the noise, and proposed adapters",
        gate="the new model answers the golden set",
        rollback="nothing to undo",
        back_to="lint",
        overridable=True,
    ),
    StateInfo(
        name="adapt",
        title="Adapt",
        artefact="the release that is to replace the old one: variants compared on the train split, the best judged on "
        "the held-out",
        gate="on the held-out items nothing is worse than the old model in excess of the noise",
        rollback="the chosen release stays stored and is no longer the candidate",
        back_to="diff",
        overridable=True,
    ),
    StateInfo(
        name="judges",
        title="Re-anchor judges",
        artefact="each judge's agreement with people, on the old model's answers and on the new one's",
        gate="every judge that gates agrees with people beyond chance, and at most 5 points less on the new model",
        rollback="nothing to undo",
        back_to="adapt",
        overridable=True,
    ),
    StateInfo(
        name="shadow",
        title="Shadow",
        artefact="the rollout's report when its shadow steps had passed",
        gate="the rollout's shadow steps have passed",
        rollback="the rollout is aborted",
        back_to="judges",
        overridable=False,
    ),
    StateInfo(
        name="canary",
        title="Canary",
        artefact="the rollout's report when its weights had passed",
        gate="the rollout bakes, or is promoted",
        rollback="the rollout is aborted: users are on the old release within about a second",
        back_to="shadow",
        overridable=False,
    ),
    StateInfo(
        name="cutover",
        title="Cutover and soak",
        artefact="the promotion, and the errors of both releases around it",
        gate="promoted, still in force when the soak time is over, and failing no more often than before",
        rollback="the rollout is aborted, or the environment points at the old release again",
        back_to="shadow",
        overridable=True,
    ),
    StateInfo(
        name="retire",
        title="Retire",
        artefact="proof that nobody has called the old model for the window",
        gate="every fork is through its cutover, and no call to the old model was recorded for the window",
        rollback="the environment points at the old release again",
        back_to="shadow",
        overridable=True,
    ),
)

FIRST: StateName = "golden"
"""Where forks begin: the inventory is the plan's."""
LAST: StateName = "retire"
ROLLOUT_STATES: frozenset[StateName] = frozenset({"shadow", "canary", "cutover"})
"""States that follow a rollout."""


def info(name: StateName) -> StateInfo:
    """Return what a state is."""
    return STATES[place(name)]


def place(name: StateName) -> int:
    """Return the number of a state, 0 to 9."""
    return _NAMES.index(name)


def after(name: StateName) -> StateName:
    """Return the state that follows."""
    return _NAMES[place(name) + 1]


def before(name: StateName) -> tuple[StateName, ...]:
    """Return the states of a fork that come before one, in order."""
    return _NAMES[place(FIRST) : place(name)]
