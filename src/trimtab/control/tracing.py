"""What did one request meet? Reads journals, then files, so it answers with the control plane dead."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from trimtab.analysis.measures import MEASURES
from trimtab.analysis.model import BUILTIN_METRICS
from trimtab.control.reports import TraceReport
from trimtab.core.errors import InputError, NotFoundError
from trimtab.events import Feedback, Generation, Score
from trimtab.serving.journal_reader import find
from trimtab.serving.snapshot_reading import decode_release

if TYPE_CHECKING:
    from trimtab.events import Event
    from trimtab.releases.model import CompiledRelease
    from trimtab.serving.directory import DataDirectory

__all__ = ["ColdEvents", "read_trace"]


ColdEvents = Callable[[str], "list[Event]"]
"""Id of a generation -> what files hold about it."""


def read_trace(directory: DataDirectory, generation: str, *, cold: ColdEvents | None = None) -> TraceReport:
    """Return everything recorded about a generation.

    `cold` is asked for what is in no journal any more. Raises `InputError` (`malformed_id`) for what is no id,
    `NotFoundError` where nobody holds it.
    """
    events = find(directory.journals, generation)
    if cold is not None and not any(event.id == generation for event in events):
        known = {event.id: event for event in (*cold(generation), *events)}
        events = sorted(known.values(), key=lambda event: event.at_ms)
    call = next((event for event in events if isinstance(event, Generation) and event.id == generation), None)
    if call is None:
        raise NotFoundError(
            "unknown_generation",
            f"{generation} is not recorded here",
            param="generation",
            hint=f"looked in {directory.root}; a generation is there about 50 ms after its answer",
        )
    return TraceReport(
        generation=call,
        release=f"{call.feature}#{call.release_number}",
        measures=_measures(call, _release(directory, call.release)),
        scores=[event for event in events if isinstance(event, Score)],
        feedback=[event for event in events if isinstance(event, Feedback)],
        shadows=[event for event in events if isinstance(event, Generation) and event.mirrors == generation],
    )


def _release(directory: DataDirectory, digest: str) -> CompiledRelease | None:
    """Return the release as it was published, `None` where it never was from here (a journal brought along)."""
    try:
        return decode_release(directory.release(digest).read_bytes())
    except (OSError, InputError, msgspec.DecodeError):
        return None


def _measures(call: Generation, release: CompiledRelease | None) -> dict[str, float]:
    """Return what the built-in metrics make of a generation, each in its own unit."""
    found = ((name, MEASURES[name](call, release)) for name in BUILTIN_METRICS)
    return {name: value for name, value in found if value is not None}
