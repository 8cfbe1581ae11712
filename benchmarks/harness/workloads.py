"""What is asked of a gateway: bodies, connections and the time a round takes."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["CHAT", "CHAT_LONG", "CHAT_ONE", "PACED", "STREAM", "STREAM_LONG", "Workload"]

_QUESTION = (
    "Where is my order 48213? It was supposed to arrive on Monday and I have not seen any update from the carrier "
    "since last week."
)
_LONG_QUESTION_BYTES = 1_600
_LONG_REPLY_BYTES = 600


@dataclasses.dataclass(frozen=True, kw_only=True)
class Workload:
    """One way of loading a gateway."""

    name: str
    title: str
    connections: int
    seconds: float
    stream: bool = False
    chunks: int = 20
    gap_us: int = 0
    long: bool = False

    def body(self, model: str) -> bytes:
        """Return the request; the load generator counts its user up."""
        question, knobs = _QUESTION, ""
        if self.stream:
            knobs = f" mock: chunks={self.chunks} gap_us={self.gap_us}"
        if self.long:
            question = (f"{_QUESTION} " * 20)[:_LONG_QUESTION_BYTES]
            knobs = f" mock: reply={_LONG_REPLY_BYTES}"
        messages = [{"role": "user", "content": question + knobs}]
        asked = {"model": model, "user": "user-00000000", "temperature": 0.2, "messages": messages}
        if self.stream:
            asked |= {"stream": True, "stream_options": {"include_usage": True}}
        return json.dumps(asked, separators=(",", ":")).encode()

    def write_body(self, folder: Path, model: str) -> Path:
        """Write the request where the load generator reads it."""
        path = folder / f"{self.name}.json"
        path.write_bytes(self.body(model))
        return path


CHAT = Workload(name="chat", title="32 connections", connections=32, seconds=2.0)
CHAT_ONE = Workload(name="chat_one", title="1 connection", connections=1, seconds=1.0)
CHAT_LONG = Workload(name="chat_long", title="32 connections, 2.3 KB of text", connections=32, seconds=2.0, long=True)
STREAM = Workload(name="stream", title="streams of 20 chunks", connections=32, seconds=1.5, stream=True)
STREAM_LONG = Workload(
    name="stream_long", title="streams of 200 chunks", connections=8, seconds=1.5, stream=True, chunks=200
)
PACED = Workload(
    name="paced", title="streams of 20 chunks, 2 ms apart", connections=32, seconds=1.5, stream=True, gap_us=2000
)
