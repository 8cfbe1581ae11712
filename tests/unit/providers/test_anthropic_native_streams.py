"""Streams of messages and of chunks, one into the other, read back by both real clients."""

from __future__ import annotations

import json
from typing import Any

import pytest
from anthropic.types import RawMessageStreamEvent
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter
from tests.unit.providers.anthropic_streams import (
    CUTS,
    ERROR,
    data_of,
    event,
    fed,
    message_of,
    messages,
    streamed,
    text,
    use,
)

from trimtab.core.errors import UpstreamError
from trimtab.providers.anthropic import (
    FromChatStream,
    MessagesAssembler,
    ToChatStream,
    adapt_answer,
    read_answer,
)

EVENT: TypeAdapter[RawMessageStreamEvent] = TypeAdapter(RawMessageStreamEvent)


@given(messages(), CUTS, st.sampled_from([b"\n", b"\r\n"]))
def test_a_native_stream_cut_anywhere_is_forwarded_unchanged_and_reads_as_the_whole_message(
    message: dict[str, Any], cuts: list[int], newline: bytes
) -> None:
    data = streamed(message)
    assembler = MessagesAssembler(keep_usage=True)
    assert fed(assembler, data.replace(b"\n", newline), cuts) == data
    answer, whole = assembler.answer(), read_answer(json.dumps(message).encode())
    for one in (answer, whole):
        for call in one.tool_calls:
            call["function"]["arguments"] = json.loads(call["function"]["arguments"] or "{}")
    assert answer == whole
    assert (assembler.ended, assembler.complete, assembler.error_code) == (True, True, "")
    assert assembler.started == bool(message["content"])


@given(st.text(min_size=1), CUTS)
def test_adapted_native_streams_say_what_the_adapted_whole_says(said: str, cuts: list[int]) -> None:
    message, steps = message_of(text(f"```json\n{said}\n```"), use("a")), ["strip_code_fence", "trim"]
    assembler = MessagesAssembler(steps=steps)
    forwarded = fed(assembler, streamed(message), cuts)
    whole = read_answer(adapt_answer(json.dumps(message).encode(), steps))
    assert assembler.answer().output == whole.output
    again = MessagesAssembler()
    again.feed(forwarded)
    assert again.answer().output == whole.output
    deltas = [one for one in data_of(forwarded) if one["type"] == "content_block_delta" and one["index"] == 0]
    assert len(deltas) == 1


def test_a_native_stream_knows_how_far_it_came() -> None:
    assembler = MessagesAssembler()
    events = streamed(message_of(text("Hello"), stop_reason="max_tokens")).split(b"\n\n")
    seen = []
    for one in events[:-1]:
        assembler.feed(one + b"\n\n")
        seen.append((assembler.started, assembler.complete, assembler.ended))
    assert seen == [
        (False, False, False),
        (False, False, False),
        (False, False, False),
        (True, False, False),
        (True, False, False),
        (True, True, False),
        (True, True, True),
    ]
    assert assembler.finish_reason == "max_tokens"


def test_an_error_in_a_native_stream_is_passed_and_noted() -> None:
    assembler = MessagesAssembler()
    assert assembler.feed(event(ERROR)) == event(ERROR)
    assert (assembler.error_code, assembler.answer().error_code, assembler.ended) == (
        "overloaded_error",
        "overloaded_error",
        False,
    )
    with pytest.raises(UpstreamError):
        MessagesAssembler().feed(b"data: {nonsense}\n\n")


def test_an_event_without_end_is_given_up() -> None:
    for stream in (MessagesAssembler(), ToChatStream(), FromChatStream()):
        with pytest.raises(UpstreamError, match="exceeds"):
            stream.feed(b"data: " + b"x" * (16 * 1024 * 1024))
