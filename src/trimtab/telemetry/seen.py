"""Events as whoever only counts them needs them: their text stays in the bytes and is never made into objects."""

from __future__ import annotations

import msgspec

__all__ = ["Seen", "SeenExposure", "SeenFeedback", "SeenGeneration", "SeenScore", "SeenWithdrawal", "read_seen"]


class _Seen(msgspec.Struct, frozen=True, tag_field="k", gc=False):
    at_ms: int
    feature: str
    environment: str


class SeenExposure(_Seen, frozen=True, tag="exposure", gc=False):
    """Fields of `events.Exposure`."""

    release_number: int = 0
    arm: str = "stable"


class SeenGeneration(_Seen, frozen=True, tag="generation", gc=False):
    """Fields of `events.Generation`."""

    release_number: int = 0
    arm: str = "stable"
    status: str = "ok"
    error_code: str = ""
    stream: bool = False
    latency_ms: float = 0.0
    first_token_ms: float = 0.0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0
    attempts: int = 1
    fallback: int = 0
    content_dropped: str = ""


class SeenScore(_Seen, frozen=True, tag="score", gc=False):
    """Fields of `events.Score`."""

    name: str
    content_dropped: str = ""


class SeenFeedback(_Seen, frozen=True, tag="feedback", gc=False):
    """Fields of `events.Feedback`."""

    name: str
    content_dropped: str = ""


class SeenWithdrawal(_Seen, frozen=True, tag="withdrawal", gc=False):
    """Fields of `events.Withdrawal`."""


Seen = SeenExposure | SeenGeneration | SeenScore | SeenFeedback | SeenWithdrawal

_decoder: msgspec.msgpack.Decoder[Seen] = msgspec.msgpack.Decoder(Seen)


def read_seen(record: bytes | memoryview) -> Seen | None:
    """Return what a journal's record is about; `None` where it is of a kind that only a newer Trimtab knows."""
    try:
        seen: Seen = _decoder.decode(record)
    except msgspec.DecodeError:
        return None
    return seen
