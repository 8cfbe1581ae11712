"""What the journals of this machine know of a feature's users: the ground a rehearsal stands on."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

import msgspec

from trimtab.core.errors import NotFoundError
from trimtab.events import Generation
from trimtab.rollout.rehearsal import Baseline, Crowd, measured_baseline
from trimtab.serving.journal_folder import process_folders
from trimtab.serving.journal_reader import JournalPosition, read_journal
from trimtab.serving.snapshot_file import read_snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from trimtab.analysis.scorers import Meter
    from trimtab.serving.directory import DataDirectory

__all__ = ["RecordedUsers", "recorded_users"]

_MOST = 50_000
_LEAST_SECONDS = 60.0


class RecordedUsers(msgspec.Struct, frozen=True, kw_only=True):
    """How stable's users behaved."""

    generations: int
    users: int
    seconds: float
    """From the first of these generations to the last."""
    crowd: Crowd
    baseline: Baseline


def recorded_users(
    directory: DataDirectory, *, feature: str, environment: str, meters: Sequence[Meter], window_ms: int
) -> RecordedUsers:
    """Return what the newest recorded generations of a feature's stable release say.

    Those that name no unit are left out: no rollout meets them. Raises `NotFoundError` where there are no others.
    """
    served = (
        generation
        for generation in _generations(directory)
        if generation.feature == feature and generation.environment == environment and generation.status != "aborted"
    )
    newest = heapq.nlargest(
        _MOST,
        (one for one in served if one.unit and one.arm in {"stable", "matched_control"}),
        key=lambda generation: generation.at_ms,
    )
    if not newest:
        raise NotFoundError(
            "nothing_recorded",
            f"no call of stable that named a user is recorded for `{feature}` in `{environment}`",
            param="like",
            hint="leave --like out to rehearse with assumptions, which the report names",
        )
    ordered = newest[::-1]
    snapshot = read_snapshot(directory.snapshot(environment))
    seconds = max(_LEAST_SECONDS, (ordered[-1].at_ms - ordered[0].at_ms) / 1000)
    users = max(2, len({generation.unit for generation in ordered}))
    visits = _visits(ordered, window_ms)
    return RecordedUsers(
        generations=len(ordered),
        users=users,
        seconds=seconds,
        crowd=Crowd(requests_per_second=len(ordered) / seconds, requests_per_visit=len(ordered) / visits, users=users),
        baseline=measured_baseline(meters, ordered, snapshot.releases if snapshot else {}),
    )


def _generations(directory: DataDirectory) -> Iterator[Generation]:
    for folder in process_folders(directory.journals):
        position = JournalPosition()
        while True:
            result = read_journal(folder, position)
            yield from (event for event in result.events if isinstance(event, Generation))
            if result.position == position or not result.events:
                break
            position = result.position


def _visits(ordered: Sequence[Generation], window_ms: int) -> int:
    """Return how many windows the generations fall into: one opens with a user's first request outside of any."""
    opened: dict[str, int] = {}
    visits = 0
    for generation in ordered:
        if generation.at_ms - opened.get(generation.unit, -window_ms) >= window_ms:
            opened[generation.unit] = generation.at_ms
            visits += 1
    return visits
