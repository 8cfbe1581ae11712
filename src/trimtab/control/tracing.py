"""What did one request meet? Reads the journals alone, so it answers with the control plane dead."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from trimtab.analysis.measures import MEASURES
from trimtab.control.reports import TraceReport
from trimtab.core.errors import NotFoundError
from trimtab.events import Feedback, Generation, Score
from trimtab.releases.model import CompiledRelease
from trimtab.serving.journal_reader import find

if TYPE_CHECKING:
    from trimtab.serving.directory import DataDirectory

__all__ = ["read_trace"]


def read_trace(directory: DataDirectory, generation: str) -> TraceReport:
    """Return everything recorded about a generation.

    Raises `InputError` (`malformed_id`) for what is no id, `NotFoundError` where no journal holds it.
    """
    events = find(directory.journals, generation)
    call = next((event for event in events if isinstance(event, Generation) and event.id == generation), None)
    if call is None:
        raise NotFoundError(
            "unknown_generation",
            f"no journal holds {generation}",
            param="generation",
            hint=f"looked in {directory.journals}; a generation is there about 50 ms after its answer",
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
        return msgspec.json.decode(directory.release(digest).read_bytes(), type=CompiledRelease)
    except (OSError, msgspec.DecodeError):
        return None


def _measures(call: Generation, release: CompiledRelease | None) -> dict[str, float]:
    """Return what the built-in metrics make of a generation, each in its own unit."""
    found = ((name, measure(call, release)) for name, measure in MEASURES.items())
    return {name: value for name, value in found if value is not None}
