"""Users of the gateway, and what it told them: every answer's id, every signal that was acknowledged."""

from __future__ import annotations

import asyncio
import random
import threading
from collections import Counter
from typing import TYPE_CHECKING, Any

import msgspec
from tests.chaos.played import Played

from trimtab.providers.http import ClientLimits, UpstreamClient

if TYPE_CHECKING:
    from trimtab.core.errors import UpstreamError

__all__ = ["Callers"]

_LIMITS = ClientLimits(connect_seconds=1.0, read_seconds=4.0, total_seconds=5.0, max_connections=64)
_JSON = b"content-type: application/json\r\n"
_SIGNAL_SHARE = 0.1
_OK = 200
_LOOK_SECONDS = 0.05


class Callers:
    """Call features at a steady rate, whatever comes back, in a thread of their own."""

    def __init__(self, base_url: str, features: list[str], *, rate: float, seed: int) -> None:
        self._base_url = base_url
        self._features = features
        self._rate = rate
        self._seeded = random.Random(seed)
        self._leave = threading.Event()
        self._in_flight = 0
        self._thread = Played(lambda: asyncio.run(self._call()))
        self.answers: list[str] = []
        """Ids of generations whose answers arrived whole, errors among them."""
        self.signals: list[str] = []
        """Ids of feedback that was acknowledged."""
        self.statuses: Counter[int] = Counter()
        """Of answers; 0 counts requests without one."""

    def start(self) -> None:
        """Begin to call."""
        self._thread.start()

    def stop(self) -> None:
        """Call no more; what is in flight is waited for."""
        self._leave.set()
        self._thread.ended(None)

    async def _call(self) -> None:
        client = UpstreamClient(self._base_url, headers=_JSON, limits=_LIMITS)
        while not self._leave.is_set():
            user = f"user-{self._seeded.randrange(10**9)}"
            question = f"Where is my order A-{self._seeded.randrange(10_000)}?"
            body = {
                "model": self._seeded.choice(self._features),
                "user": user,
                "messages": [{"role": "user", "content": question}],
                "trimtab": {"variables": {"shop": "Acme"}},
            }
            self._send(client, b"/chat/completions", body)
            await asyncio.sleep(self._seeded.expovariate(self._rate))
        for _ in range(round(_LIMITS.total_seconds / _LOOK_SECONDS)):
            if not self._in_flight:
                break
            await asyncio.sleep(_LOOK_SECONDS)
        await client.close()

    def _send(self, client: UpstreamClient, path: bytes, body: dict[str, Any]) -> None:
        self._in_flight += 1
        client.send(b"POST", path, _Ear(self, client), body=msgspec.json.encode(body))

    def unheard(self) -> None:
        """Note a request that got no answer."""
        self._in_flight -= 1
        self.statuses[0] += 1

    def heard(self, client: UpstreamClient, status: int, headers: dict[bytes, bytes], body: bytes) -> None:
        """Note an answer that arrived whole."""
        self._in_flight -= 1
        self.statuses[status] += 1
        generation = headers.get(b"x-trimtab-generation", b"").decode()
        if generation:
            self.answers.append(generation)
            if status == _OK and self._seeded.random() < _SIGNAL_SHARE:
                self._send(client, b"/feedback", {"generation_id": generation, "name": "thumbs", "value": 1})
        elif status == _OK:
            self.signals.append(msgspec.json.decode(body)["id"])


class _Ear:
    """Hears one answer."""

    def __init__(self, callers: Callers, client: UpstreamClient) -> None:
        self._callers = callers
        self._client = client
        self._status = 0
        self._headers: dict[bytes, bytes] = {}
        self._body: list[bytes] = []

    def on_head(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        self._status, self._headers = status, dict(headers)

    def on_data(self, data: bytes) -> None:
        self._body.append(data)

    def on_end(self) -> None:
        self._callers.heard(self._client, self._status, self._headers, b"".join(self._body))

    def on_failure(self, _error: UpstreamError) -> None:
        self._callers.unheard()
