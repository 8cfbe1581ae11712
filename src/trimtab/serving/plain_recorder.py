"""Events of good answers, which most are: half of each is encoded ahead, because it is the same for a whole arm.

What is written is what `DataPlane.record` writes of the same generation, but for the order of its fields.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from trimtab.serving.generation import NS_PER_MS, PER_MILLION, Answer, GenerationRecord
from trimtab.serving.own_fields import OwnFields
from trimtab.serving.process_status import MINUTE_MS
from trimtab.serving.recordable import UNENCODABLE
from trimtab.serving.snapshot import Price

if TYPE_CHECKING:
    from collections.abc import Callable

    from trimtab.core.clock import Clock
    from trimtab.events import Generation
    from trimtab.serving.candidate_breaker import CandidateBreaker
    from trimtab.serving.decision import Decision
    from trimtab.serving.journal import JournalWriter
    from trimtab.serving.process_status import TrafficCounter

__all__ = ["PlainRecorder"]

_OK: Final = 200
_COUNT: Final = 0x0F
"""The bits of the first byte of a MessagePack map of up to 15 entries that say how many there are."""
_MAP16: Final = b"\xde"
"""The first byte of a larger one; two bytes say how many."""
_LARGER: Final = _MAP16[0]
_FREE: Final = Price(input_usd=0.0, output_usd=0.0)
_NO_CALLS: Final[list[dict[str, Any]]] = []
_NOTHING: Final[dict[str, Any]] = {}


_encode: Final = msgspec.msgpack.Encoder().encode
_OWN: Final = frozenset(OwnFields.__struct_fields__)


class PlainRecorder:
    """Records generations of one arm and team that its release's model answered well, at the first request, whole."""

    def __init__(  # noqa: PLR0913 - what `DataPlane` is made of
        self,
        decision: Decision,
        clock: Clock,
        *,
        team: str,
        format: str,  # noqa: A002 - the field's word
        process: str,
        journal: JournalWriter,
        traffic: TrafficCounter,
        breaker: CandidateBreaker | None,
        redacted: bool,
        record: Callable[[Generation], bool],
        withdraw: Callable[[Generation], None],
    ) -> None:
        """`record` takes what is `redacted` or cannot be written as it is, `withdraw` what proves harm."""
        self._decision = decision
        self._clock = clock
        self._team = team
        self._format = format
        self._process = process
        self._journal = journal
        self._largest = 0 if redacted else journal.largest_record
        self._traffic = traffic
        self._breaker = breaker
        self._record = record
        self._withdraw = withdraw
        self._candidate = decision.arm == "candidate"
        self._price = decision.price or _FREE
        self._count = [0]
        self._minute_ms = 0
        self._ahead = _encode_ahead(self._generation("", 0, 0, "", Answer(), []))

    def record(  # noqa: PLR0913, PLR0917 - the facts of a call
        self,
        id: str,  # noqa: A002 - the event's field
        at_ms: int,
        started_ns: int,
        unit: str,
        answer: Answer,
        messages: list[dict[str, Any]],
        variables: dict[str, Any] = _NOTHING,
        attributes: dict[str, str] = _NOTHING,
        trace: str = "",
        parent_span: str = "",
        unsampled: bool = False,  # noqa: FBT001, FBT002 - the event's field
    ) -> float:
        """Record one; returns its cost in US dollars. Never raises and never waits, as `DataPlane.record`.

        `messages`: the prompt; empty where the feature captures no content.
        """
        latency_ms = (self._clock.monotonic_ns() - started_ns) / NS_PER_MS
        input_tokens, output_tokens, price = answer.input_tokens, answer.output_tokens, self._price
        cost = (input_tokens * price.input_usd + output_tokens * price.output_usd) * PER_MILLION
        captured = self._decision.capture_content
        own = OwnFields(
            id,
            at_ms,
            unit,
            answer.served_model,
            latency_ms,
            latency_ms,
            input_tokens,
            output_tokens,
            cost,
            answer.finish_reason,
            messages,
            answer.output if captured else "",
            answer.tool_calls if captured else _NO_CALLS,
            variables if captured else _NOTHING,
            attributes,
            trace,
            parent_span,
            unsampled,
        )
        try:
            encoded = _encode(own)
            first = encoded[0]
            if first == _LARGER:
                data = self._ahead[encoded[2]] + encoded[3:]
            else:
                data = self._ahead[first & _COUNT] + encoded[1:]
        except UNENCODABLE:
            data = b""
        if not data or len(data) > self._largest or self._journal.shortage is not None:
            said = (answer, messages, variables, attributes, trace, parent_span, unsampled)
            self._record(self._generation(id, at_ms, started_ns, unit, *said))
            return cost
        if not 0 <= at_ms - self._minute_ms < MINUTE_MS:
            self._turn(at_ms)
        self._count[0] += 1
        self._journal.append(data, at_ms)
        breaker = self._breaker
        if breaker is not None and breaker.note_success(candidate=self._candidate):
            self._withdraw(self._generation(id, at_ms, started_ns, unit, answer, messages))
        return cost

    def _generation(  # noqa: PLR0913, PLR0917 - as above
        self,
        id: str,  # noqa: A002 - the event's field
        at_ms: int,
        started_ns: int,
        unit: str,
        answer: Answer,
        messages: list[dict[str, Any]],
        variables: dict[str, Any] = _NOTHING,
        attributes: dict[str, str] = _NOTHING,
        trace: str = "",
        parent_span: str = "",
        unsampled: bool = False,  # noqa: FBT001, FBT002 - the event's field
    ) -> Generation:
        decision = msgspec.structs.replace(self._decision, unit=unit)
        record = GenerationRecord(
            decision, self._clock, decision.release, decision.price, decision.arm, at_ms, id, started_ns
        )
        return record.finish(
            answer,
            process=self._process,
            http_status=_OK,
            variables=variables,
            attributes=attributes,
            messages=messages,
            trace=trace,
            parent_span=parent_span,
            unsampled=unsampled,
            format=self._format,
            team=self._team,
        )

    def _turn(self, at_ms: int) -> None:
        decision = self._decision
        release = decision.release
        self._minute_ms = at_ms - at_ms % MINUTE_MS
        self._count = self._traffic.minute(at_ms, decision.feature, release.digest, release.number, decision.arm)


def _encode_ahead(example: Generation) -> list[bytes]:
    """Return the encoded beginning of an event, by the number of its own fields that follow."""
    shared = {name: value for name, value in msgspec.to_builtins(example).items() if name not in _OWN}
    encoded = b"".join(_encode(part) for field in shared.items() for part in field)
    return [_MAP16 + (len(shared) + own).to_bytes(2, "big") + encoded for own in range(len(_OWN) + 1)]
