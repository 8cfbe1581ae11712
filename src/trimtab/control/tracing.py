"""What did one request meet? Reads the journals alone, so it answers with the control plane dead."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trimtab.control.reports import TraceReport
from trimtab.core.errors import NotFoundError
from trimtab.events import Feedback, Generation, Score
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
        scores=[event for event in events if isinstance(event, Score)],
        feedback=[event for event in events if isinstance(event, Feedback)],
        shadows=[event for event in events if isinstance(event, Generation) and event.mirrors == generation],
    )
