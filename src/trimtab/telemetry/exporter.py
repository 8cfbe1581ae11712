"""Sends what journals hold to an OpenTelemetry collector, beside whoever else reads them.

Nothing waits for a collector: it is sent to from where a cursor stands, and the cursor moves once the collector has
taken everything before it. So a collector that is away or slow costs nothing but time, a process that is killed sends
again what it may have sent already (with the same ids), and memory holds one frame of one journal.
https://opentelemetry.io/docs/specs/otlp/#otlphttp
"""

from __future__ import annotations

import gzip
import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeVar

import msgspec
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from trimtab.core.errors import UpstreamError
from trimtab.events import Event, Generation, Withdrawal, decode_event
from trimtab.serving.durable_file import write_atomically
from trimtab.telemetry.export_state import read_export_state
from trimtab.telemetry.follower import follow
from trimtab.telemetry.otlp_batch import logs_request, spans_request
from trimtab.telemetry.spans import is_sampled

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from trimtab.core.clock import Clock
    from trimtab.telemetry.export_state import ExportState

__all__ = ["ExportPlan", "Exporter", "Sent"]

Signal = Literal["traces", "logs"]
Post = Callable[[Signal, bytes, dict[str, str]], "Sent"]
"""Sends one body with headers; raises `UpstreamError` where nothing was answered in time."""
_OK = range(200, 300)
_TAKEN_IN = "otlp-"
"""Begins the names of processes that take in what others trace: sent on, it would come back for ever."""
_TOO_LARGE = 413
_UNREADABLE = frozenset({400, 422})
_PER_REQUEST = 512
_AT_ONCE = 2_000
"""Events after which the cursor is saved; a frame may hold more."""
_PER_TICK = 20_000
_FIRST_WAIT_SECONDS = 1.0
_LONGEST_WAIT_SECONDS = 60.0
_LONGEST_ASKED_SECONDS = 600.0
_T = TypeVar("_T")


class Sent(NamedTuple):
    """What the collector answered."""

    status: int
    body: bytes = b""
    retry_after: str = ""
    words: str = ""
    """What it said, fit for people."""


class ExportPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What is sent."""

    signals: tuple[Signal, ...] = ("traces",)
    content: bool = False
    """Whether prompts, answers, comments and units are."""
    sample_ratio: float = 1.0
    resource: dict[str, str] = {}
    compress: bool = True


class _NotTakenError(Exception):
    """The collector will take it later, or somebody must mend something first."""

    def __init__(self, words: str, wait_seconds: float | None = None) -> None:
        super().__init__(words)
        self.wait_seconds = wait_seconds


class Exporter:
    """One per data directory at a time: whoever holds its lock."""

    def __init__(self, journals: Path, state: Path, plan: ExportPlan, post: Post, clock: Clock) -> None:
        """`state`: the file that keeps the cursors."""
        self._journals = journals
        self._file = state
        self._plan = plan
        self._post = post
        self._clock = clock
        self.state = read_export_state(state)
        self._due_ns = 0
        self._wait_seconds = 0.0
        self._problem = ""

    def tick(self) -> list[str]:
        """Send what is new, as far as the collector takes it; returns what is worth telling. Raises `StorageError`."""
        if self._clock.monotonic_ns() < self._due_ns:
            return []
        seen = 0
        told: list[str] = []
        while seen < _PER_TICK:
            try:
                passed = self._step(told)
            except _NotTakenError as error:
                return told + self._put_off(error)
            seen += passed
            if passed < _AT_ONCE:
                break
        self._wait_seconds = 0.0
        if self._problem:
            self._problem = ""
            told.append("telemetry: the collector takes what is sent again")
        return told

    def _step(self, told: list[str]) -> int:
        """Send some events and move the cursor; returns how many were passed."""
        events: list[Event] = []

        def take(record: memoryview) -> bool:
            try:
                event = decode_event(record)
            except msgspec.DecodeError:
                return False
            if not event.process.startswith(_TAKEN_IN):
                events.append(event)
            return True

        followed = follow(self._journals, self.state.cursors, take, limit=_AT_ONCE)
        state = msgspec.structs.replace(
            self.state,
            cursors=followed.cursors,
            lost=self.state.lost + followed.missing,
            sent=dict(self.state.sent),
            rejected=dict(self.state.rejected),
            at_ms=self._clock.now_ms(),
        )
        if followed.cursors == self.state.cursors:
            self.state.at_ms = state.at_ms
            return 0
        if followed.missing:
            told.append(f"telemetry: {followed.missing} events are gone from the journals and were never sent")
        self._send_all(events, state, told)
        self.state = state
        write_atomically(self._file, msgspec.msgpack.encode(state), durable=False)
        return followed.records

    def _send_all(self, events: Sequence[Event], state: ExportState, told: list[str]) -> None:
        plan = self._plan
        if "traces" in plan.signals:
            calls = [event for event in events if isinstance(event, Generation)]
            kept = [call for call in calls if is_sampled(call, plan.sample_ratio)]
            state.unsampled += len(calls) - len(kept)
            for part in _parts(kept):
                self._send_spans(part, state, told)
        if "logs" in plan.signals:
            said = [event for event in events if not isinstance(event, Generation | Withdrawal)]
            for some in _parts(said):
                request = logs_request(some, content=plan.content, resource=plan.resource)
                self._send("logs", request, len(some), state, told)

    def _send_spans(self, calls: Sequence[Generation], state: ExportState, told: list[str]) -> None:
        """Send spans; in halves where they are too much at once."""
        request = spans_request(calls, content=self._plan.content, resource=self._plan.resource)
        too_large = self._send("traces", request, len(calls), state, told, splits=len(calls) > 1)
        if too_large:
            half = len(calls) // 2
            self._send_spans(calls[:half], state, told)
            self._send_spans(calls[half:], state, told)

    def _send(
        self,
        signal: Signal,
        request: ExportTraceServiceRequest | ExportLogsServiceRequest,
        count: int,
        state: ExportState,
        told: list[str],
        *,
        splits: bool = False,
    ) -> bool:
        """Send one request; returns whether it must be split. Raises `_NotTakenError`."""
        body = request.SerializeToString()
        headers = {"content-type": "application/x-protobuf"}
        if self._plan.compress:
            body = gzip.compress(body, compresslevel=1)
            headers["content-encoding"] = "gzip"
        try:
            sent = self._post(signal, body, headers)
        except UpstreamError as error:
            raise _NotTakenError(error.message) from error
        if sent.status == _TOO_LARGE and splits:
            return True
        if sent.status in _OK:
            refused, words = _refused(signal, sent.body)
        elif sent.status in _UNREADABLE or sent.status == _TOO_LARGE:
            refused, words = count, f"answered {sent.status} {sent.words}".strip()
        else:
            raise _NotTakenError(f"answered {sent.status} {sent.words}".strip(), _asked(sent.retry_after))
        refused = min(refused, count)
        state.sent[signal] = state.sent.get(signal, 0) + count - refused
        state.rejected[signal] = state.rejected.get(signal, 0) + refused
        if refused or words:
            told.append(f"telemetry: the collector refused {refused} of {count} {signal}: {words}")
        return False

    def _put_off(self, error: _NotTakenError) -> list[str]:
        """Wait longer each time, a random part of it, at least as long as the collector asked for."""
        self._wait_seconds = min(_LONGEST_WAIT_SECONDS, max(_FIRST_WAIT_SECONDS, 2 * self._wait_seconds))
        seconds = max(error.wait_seconds or 0.0, self._wait_seconds * random.uniform(0.5, 1.0))  # noqa: S311 - no secret
        self._due_ns = self._clock.monotonic_ns() + round(seconds * 1e9)
        problem, self._problem = self._problem, str(error)
        return [] if problem == self._problem else [f"telemetry: the collector takes nothing now: {error}"]


def _parts(items: Sequence[_T]) -> list[Sequence[_T]]:
    return [items[start : start + _PER_REQUEST] for start in range(0, len(items), _PER_REQUEST)]


def _refused(signal: Signal, body: bytes) -> tuple[int, str]:
    """Return how many the collector refused of what it took, and why."""
    try:
        if signal == "traces":
            spans = ExportTraceServiceResponse.FromString(body).partial_success
            return spans.rejected_spans, spans.error_message
        logs = ExportLogsServiceResponse.FromString(body).partial_success
    except DecodeError:
        return 0, ""  # a 200 is a 200, whatever some proxy says beside it
    return logs.rejected_log_records, logs.error_message


def _asked(retry_after: str) -> float | None:
    """Return for how many seconds the collector wants to be left alone; `None` where it does not say so in seconds."""
    return min(float(retry_after), _LONGEST_ASKED_SECONDS) if retry_after.isascii() and retry_after.isdigit() else None
