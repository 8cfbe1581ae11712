"""The five events. Fields are only ever added, with defaults, so that old journals open in new code.

Encoded as MessagePack maps with defaults omitted; the tag is `k`. Construct them by keyword: the order of the fields
is nobody's business, but for the one place (`serving.generation`) that makes one per request and cannot afford it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import msgspec

from trimtab.core.errors import InputError
from trimtab.core.ids import id_time_ms

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "Arm",
    "Event",
    "Exposure",
    "Feedback",
    "Generation",
    "Score",
    "Withdrawal",
    "decode_event",
    "encode_event",
    "subject_id",
    "subject_time_ms",
]


Arm = Literal["stable", "candidate", "matched_control", "shadow", "challenger"]
"""Which role served: `matched_control` is stable, served to the concurrent equal-share comparison group; `challenger` a
release that an experiment serves beside the candidate."""


class _Event(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="k", gc=False):
    id: str
    at_ms: int
    """When it began, milliseconds since the Unix epoch."""
    feature: str
    environment: str


class _Routed(_Event, frozen=True, omit_defaults=True, gc=False):
    """An event that knows which release and arm a unit met."""

    release: str
    """Digest of the release."""
    process: str = ""
    """Id of the data-plane process that wrote it."""
    release_number: int = 0
    arm: Arm = "stable"
    unit: str = ""
    """The targeting key that was randomised; empty where the caller gave none."""
    rollout: str = ""
    """Id of the rollout attempt under which the arm was drawn; empty where none ran."""
    stage: int = -1
    """Index of the rollout step in force; -1 where none ran."""


class Exposure(_Routed, frozen=True, omit_defaults=True, tag="exposure", gc=False):
    """A unit met an arm without a model call that Trimtab saw (SDK `resolve`)."""


class Generation(_Routed, frozen=True, omit_defaults=True, tag="generation", gc=False):
    """One model call."""

    provider: str = ""
    requested_model: str = ""
    served_model: str = ""
    status: Literal["ok", "error", "aborted"] = "ok"
    """`aborted`: the caller went away before the answer was complete."""
    error_code: str = ""
    http_status: int = 0
    stream: bool = False
    latency_ms: float = 0.0
    first_token_ms: float = 0.0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0
    finish_reason: str = ""
    variables: dict[str, Any] = {}
    messages: list[dict[str, Any]] = []
    """The rendered prompt as it was sent; empty where content capture is off."""
    output: str = ""
    tool_calls: list[dict[str, Any]] = []
    mirrors: str = ""
    """For a shadow generation: id of the generation that the user was answered with."""
    trace: str = ""
    """W3C trace id of the caller, where it sent one. This call's own span id is the last 16 digits of its `id`."""
    parent_span: str = ""
    """W3C span id of the caller, where it sent one."""
    format: str = "chat"
    """In which wire format the caller spoke: `chat`, `responses`, `messages`, `embeddings`."""
    team: str = ""
    """Whose gateway key was sent; empty where none was."""
    attempts: int = 1
    """Model calls it took, retries and fallbacks among them."""
    fallback: int = 0
    """Which model of the release's chain answered: 0 its own, 1 its first fallback, ..."""
    attributes: dict[str, str] = {}
    """What the caller said of the request or its user, for segments: short labels, such as a language."""
    content_dropped: str = ""
    """Why content is missing that should be here: `journal_full`, `disk_low`, `disk_slow`, `write_failed`,
    `too_long`, `unencodable`, `redaction_failed`; empty where none is."""
    unsampled: bool = False
    """The caller's trace is not sampled, as its `traceparent` says: tracing leaves it out, too."""


class Score(_Event, frozen=True, omit_defaults=True, tag="score", gc=False):
    """A judgement of one generation."""

    generation: str
    name: str
    value: float
    process: str = ""
    source: str = ""
    """Who judged: `scorer:<name>`, `judge:<model>`, `human:<who>`."""
    comment: str = ""
    content_dropped: str = ""
    """Why the comment is missing, as in a generation."""


class Feedback(_Event, frozen=True, omit_defaults=True, tag="feedback", gc=False):
    """A user's signal about one generation."""

    generation: str
    name: str
    value: float
    process: str = ""
    unit: str = ""
    comment: str = ""
    content_dropped: str = ""
    """Why the comment is missing, as in a generation."""


class Withdrawal(_Event, frozen=True, omit_defaults=True, tag="withdrawal", gc=False):
    """A process took a rollout's candidate out of service by itself, because its calls plainly failed there."""

    rollout: str
    process: str = ""
    stage: int = -1
    error_code: str = ""
    """Of the candidate's last error."""
    reason: str = ""
    """What was seen, in words."""


Event = Exposure | Generation | Score | Feedback | Withdrawal

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Event] = msgspec.msgpack.Decoder(Event)


encode_event: Callable[[Event], bytes] = _encoder.encode
"""Return the MessagePack bytes of an event."""


def decode_event(data: bytes | memoryview) -> Event:
    """Return the event in `data`; raises `msgspec.DecodeError` where it is none."""
    event: Event = _decoder.decode(data)
    return event


def subject_id(event: Event) -> str:
    """Return the id of the generation an event is about (its own id for exposures and generations)."""
    match event:
        case Score() | Feedback():
            return event.generation
        case _:
            return event.id


def subject_time_ms(event: Event) -> int:
    """Return when the generation an event is about began, which its id carries; the event's own time for other ids."""
    try:
        return id_time_ms(subject_id(event))
    except InputError:
        return event.at_ms
