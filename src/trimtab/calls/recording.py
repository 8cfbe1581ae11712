"""One generation event per model call, whatever becomes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from trimtab.artifacts.model import ModelContent
    from trimtab.calls.caller import Caller
    from trimtab.calls.formats import Format
    from trimtab.calls.ports import CallPlane
    from trimtab.serving.generation import Answer, GenerationRecord
    from trimtab.serving.limits import TeamMeter
    from trimtab.serving.shadow_budget import ShadowTicket
    from trimtab.serving.snapshot import Price

__all__ = ["UNSAMPLED", "AnsweredBy", "RecordedCall"]

_MICRO = 1_000_000
UNSAMPLED = frozenset("02468ace")
"""Last digit of trace flags whose lowest bit is not set."""


_NOBODY_ELSE: dict[str, Any] = {}


class AnsweredBy(NamedTuple):
    """Who answered a call that took more than one request to the release's own model."""

    attempts: int
    fallback: int
    """Index in the release's chain."""
    model: ModelContent
    price: Price | None


class RecordedCall:
    """A model call that writes its event exactly once."""

    __slots__ = ("_ended", "_plane", "answered_by", "budget", "caller", "format", "messages", "record", "team")

    def __init__(self, plane: CallPlane, record: GenerationRecord, caller: Caller, format: Format, team: str) -> None:  # noqa: A002 - the field's word
        self._plane = plane
        self._ended = False
        self.record = record
        self.caller = caller
        self.format = format
        self.team = team
        self.messages: list[dict[str, Any]] = []
        """The prompt as it was sent; empty until it was rendered."""
        self.budget: TeamMeter | ShadowTicket | None = None
        """Under what the call was admitted; it is given back with its cost when the event is written."""
        self.answered_by: AnsweredBy | None = None
        """`None` for the release's own model, at the first request."""

    def identity(self) -> dict[str, str]:
        """Return what a line of the log says of it."""
        record = self.record
        return {
            "generation": record.id,
            "trace": self.caller.trace,
            "feature": record.decision.feature,
            "release": record.release.label,
        }

    def traceparent(self) -> bytes:
        """Return the header line that makes this call a child of the span that the caller sent."""
        caller = self.caller
        return f"traceparent: 00-{caller.trace}-{self.record.id[-16:]}-{caller.trace_flags}\r\n".encode()

    def write_event(self, answer: Answer, http_status: int, *, aborted: bool = False) -> None:
        """Write the event of a call that ended, well or not, or whose caller went away; the first time."""
        if self._ended:
            return
        status: Literal["ok", "error", "aborted"] = "aborted" if aborted else "error" if answer.error_code else "ok"
        self._ended = True
        caller = self.caller
        answered_by = self.answered_by
        other = _NOBODY_ELSE if answered_by is None else answered_by._asdict()
        event = self.record.finish(
            answer,
            process=self._plane.process_id,
            status=status,
            http_status=http_status,
            stream=caller.stream,
            variables=caller.variables,
            attributes=caller.attributes,
            messages=self.messages,
            trace=caller.trace,
            unsampled=caller.trace_flags[-1:] in UNSAMPLED,
            parent_span=caller.parent_span,
            format=self.format,
            team=self.team,
            **other,
        )
        self._plane.record(event)
        if self.budget is not None:
            self.budget.release(round(event.cost_usd * _MICRO))
