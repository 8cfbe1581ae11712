"""A crowd of users: seeded, open-loop requests at a steady rate, and what came back."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter, deque
from typing import TYPE_CHECKING, Any

import msgspec

from trimtab.providers.http import ClientLimits, UpstreamClient

if TYPE_CHECKING:
    from collections.abc import Callable

    from trimtab.core.errors import UpstreamError

__all__ = ["Answer", "Crowd", "Question"]

_RECENT_SECONDS = 10.0
_LIMITS = ClientLimits(connect_seconds=2.0, read_seconds=10.0, total_seconds=10.0, max_connections=64)


class Question(msgspec.Struct, frozen=True):
    """What one user asks: the `user` field, and the rest of the request body."""

    user: str
    body: dict[str, Any]


class Answer(msgspec.Struct, frozen=True):
    """What came back for one question."""

    at: float
    """Seconds on the monotonic clock."""
    user: str
    status: int
    """HTTP status; 0 where the connection failed."""
    release: str
    arm: str
    generation: str
    text: str
    good: bool
    """Whether the caller's own code could use the answer."""


class Crowd:
    """Asks `rate` questions per second until told to stop, whatever the answers do (open loop)."""

    def __init__(
        self, base_url: str, *, ask: Callable[[random.Random], Question], usable: Callable[[str], bool], seed: int
    ) -> None:
        self._client = UpstreamClient(base_url, headers=b"content-type: application/json\r\n", limits=_LIMITS)
        self._ask = ask
        self._usable = usable
        self._random = random.Random(seed)  # noqa: S311 - a simulated crowd
        self.recent: deque[Answer] = deque()
        self.asked = 0
        self.answered = 0
        self.failed = 0
        self.broken_by_candidate: str = ""
        """Generation id of an answer of a candidate that the caller could not use."""
        self.acknowledged: list[str] = []
        """Generation ids of every answer, in order."""

    async def run(self, *, rate: float) -> None:
        """Ask until cancelled."""
        due = time.monotonic()
        try:
            while True:
                due += self._random.expovariate(rate)
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                self._send(self._ask(self._random))
        finally:
            await self._client.close()

    def shares(self) -> dict[tuple[str, str], tuple[int, int]]:
        """Return (release, arm) -> (answers, unusable answers) over the last ten seconds."""
        limit = time.monotonic() - _RECENT_SECONDS
        while self.recent and self.recent[0].at < limit:
            self.recent.popleft()
        total = Counter((answer.release, answer.arm) for answer in self.recent if answer.release)
        bad = Counter((answer.release, answer.arm) for answer in self.recent if answer.release and not answer.good)
        return {key: (count, bad[key]) for key, count in sorted(total.items())}

    def _send(self, question: Question) -> None:
        body = {**question.body, "user": question.user}
        self.asked += 1
        self._client.send(b"POST", b"/chat/completions", _Listener(self, question), body=msgspec.json.encode(body))

    def heard(self, question: Question, status: int, headers: dict[bytes, bytes], body: bytes) -> None:
        """Take in one answer."""
        text = _content(body)
        answer = Answer(
            at=time.monotonic(),
            user=question.user,
            status=status,
            release=headers.get(b"x-trimtab-release", b"").decode(),
            arm=headers.get(b"x-trimtab-arm", b"").decode(),
            generation=headers.get(b"x-trimtab-generation", b"").decode(),
            text=text,
            good=status == 200 and self._usable(text),  # noqa: PLR2004 - HTTP OK
        )
        self.answered += 1
        self.recent.append(answer)
        if answer.generation:
            self.acknowledged.append(answer.generation)
        if answer.arm == "candidate" and not answer.good and not self.broken_by_candidate:
            self.broken_by_candidate = answer.generation

    def unheard(self, _error: UpstreamError) -> None:
        """Count a request that got no answer."""
        self.failed += 1


class _Listener:
    __slots__ = ("_body", "_crowd", "_headers", "_question", "_status")

    def __init__(self, crowd: Crowd, question: Question) -> None:
        self._crowd = crowd
        self._question = question
        self._status = 0
        self._headers: dict[bytes, bytes] = {}
        self._body: list[bytes] = []

    def on_head(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        self._status = status
        self._headers = dict(headers)

    def on_data(self, data: bytes) -> None:
        self._body.append(data)

    def on_end(self) -> None:
        self._crowd.heard(self._question, self._status, self._headers, b"".join(self._body))

    def on_failure(self, error: UpstreamError) -> None:
        self._crowd.unheard(error)


class _Message(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    message: _Message


class _Completion(msgspec.Struct):
    choices: list[_Choice] = []


_completion = msgspec.json.Decoder(_Completion)


def _content(body: bytes) -> str:
    try:
        choices = _completion.decode(body).choices
    except msgspec.DecodeError:
        return ""
    return (choices[0].message.content or "") if choices else ""
