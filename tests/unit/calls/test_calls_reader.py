"""What our own code breaks on while it reads an answer is told to the caller, who would else wait for ever."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pytest

from trimtab.calls.formats.native import ChatTranslation
from trimtab.calls.reader import AnswerReader, Outcome
from trimtab.providers.http import Exchange, Request
from trimtab.serving.generation import Answer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trimtab.calls.formats import StreamReader


class Broken(ChatTranslation):
    """A translation with a defect."""

    def __init__(self) -> None: ...

    def read(self, body: bytes, sent: Mapping[str, Any] = MappingProxyType({})) -> tuple[Answer, bytes]:
        raise KeyError(body)


class BrokenStream:
    """A stream with one."""

    started = complete = ended = False

    def feed(self, data: bytes) -> bytes:
        raise KeyError(data)

    def end(self) -> bytes:
        return b""

    def answer(self) -> Answer:
        return Answer()


class Listener:
    """Who waits."""

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []

    def on_begin(self, status: int, headers: bytes) -> None: ...
    def on_first_token(self) -> None: ...
    def on_piece(self, data: bytes) -> None: ...
    def on_outcome(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)


@pytest.mark.parametrize("stream", [None, BrokenStream()], ids=["whole", "streamed"])
def test_a_defect_of_ours_ends_the_call(stream: StreamReader | None, caplog: pytest.LogCaptureFixture) -> None:
    listener = Listener()
    reader = AnswerReader(listener, Broken(), {}, 1000, stream)
    kind = b"text/event-stream" if stream else b"application/json"
    reader.on_head(200, [(b"content-type", kind)])
    reader.on_data(b"{}")
    reader.on_end()
    (outcome,) = listener.outcomes
    assert outcome.error is not None
    assert (outcome.error.code, outcome.answer.error_code) == ("internal_error", "internal_error")
    assert outcome.failed is None, "the upstream did nothing wrong: no fallback is asked"
    assert "could not be read by Trimtab itself" in caplog.text


class Wire:
    """A connection that keeps what is sent."""

    def __init__(self) -> None:
        self.sent = b""
        self.is_cut = False

    def send(self, data: bytes) -> None:
        self.sent += data

    def answered(self, *, keep_alive: bool) -> None: ...

    def broken_off(self) -> None:
        self.is_cut = True


def test_a_begun_stream_never_holds_a_second_answer() -> None:
    wire = Wire()
    exchange = Exchange(wire, Request(b"POST", b"/", {}))
    exchange.start(200, b"")
    exchange.write(b"data: {}\n\n")
    exchange.respond(500, b"{}")
    assert wire.is_cut
    assert wire.sent.count(b"HTTP/1.1") == 1
