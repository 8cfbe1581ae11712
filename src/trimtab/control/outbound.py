"""How the control plane speaks to others: a signed POST to an address that, often, only the environment knows.

Addresses and secrets are read at the moment of sending and go nowhere else: what is reported of a failure names the
variable, and what the other side says is searched for pieces of the address before anybody reads or stores it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol
from urllib.parse import unquote

import msgspec

from trimtab.control.signing import secret_key, signed_headers
from trimtab.core.errors import InputError, UpstreamError

if TYPE_CHECKING:
    from trimtab.core.clock import Clock

__all__ = ["Correspondent", "Letter", "Poster", "Reply", "Secrets", "failure_of"]

Secrets = Callable[[str], "str | None"]
"""Name of an environment variable -> its value, `None` where it is not set."""
_TIMEOUT_SECONDS = 10.0
_WORDS = 200
_SHORTEST_SECRET = 6
"""Pieces of an address shorter than this hide nothing, and are found in any text."""


class Reply(msgspec.Struct, frozen=True):
    """What the other side answered; `body` may be cut short."""

    status: int
    body: bytes
    hidden: tuple[str, ...] = ()
    """Pieces of the address that was asked, longest first: many servers repeat it in what they say."""
    retry_after: str = ""
    """The header, as it came."""

    def quote(self, text: str) -> str:
        """Return what the other side said, fit for people and stores: short, on one line, and without the address."""
        for piece in self.hidden:
            text = text.replace(piece, "***")
        return " ".join(text.split())[:_WORDS]


class Letter(msgspec.Struct, frozen=True, kw_only=True):
    """What is sent, and to whom: a URL, or the name of the variable that holds it."""

    id: str
    """The same for every attempt, so that a receiver can tell repetitions."""
    body: bytes
    """JSON."""
    url: str | None = None
    url_env: str | None = None
    secret_env: str | None = None
    """Name of the variable that holds what it is signed with."""


class Poster(Protocol):
    """Sends one POST of JSON. Follows no redirects."""

    async def post(self, url: str, body: bytes, *, headers: dict[str, str], timeout_seconds: float) -> Reply:
        """Return whatever was answered; raises `UpstreamError`, and `InputError` for what is no URL."""
        ...


class Correspondent:
    """Sends letters."""

    def __init__(
        self, *, poster: Poster, secrets: Secrets, clock: Clock, timeout_seconds: float = _TIMEOUT_SECONDS
    ) -> None:
        self._poster = poster
        self._secrets = secrets
        self._clock = clock
        self._timeout_seconds = timeout_seconds

    async def send(self, letter: Letter) -> Reply | str:
        """Return the reply, or in words why there is none."""
        target = letter.url or self._read(letter.url_env)
        if target is None:
            return _not_set(letter.url_env)
        key: bytes | None = None
        if letter.secret_env:
            secret = self._read(letter.secret_env)
            if secret is None:
                return _not_set(letter.secret_env)
            try:
                key = secret_key(secret)
            except InputError as error:
                return f"the environment variable {letter.secret_env} holds {error.message}"
        headers = signed_headers(letter.id, letter.body, key=key, now_ms=self._clock.now_ms())
        try:
            reply = await self._poster.post(target, letter.body, headers=headers, timeout_seconds=self._timeout_seconds)
        except InputError:
            return "this is not a URL" if letter.url else f"the environment variable {letter.url_env} holds no URL"
        except UpstreamError as error:
            return error.message
        return msgspec.structs.replace(reply, hidden=_pieces(target))

    def _read(self, name: str | None) -> str | None:
        value = self._secrets(name) if name else None
        return (value or "").strip() or None


def failure_of(reply: Reply | str) -> str:
    """Return why a reply is none that was hoped for; empty where it is any 2xx."""
    if isinstance(reply, str):
        return reply
    if 200 <= reply.status < 300:  # noqa: PLR2004 - success, as HTTP says it
        return ""
    if 300 <= reply.status < 400:  # noqa: PLR2004 - elsewhere, as HTTP says it
        return f"answered {reply.status}, which leads elsewhere: redirects are not followed"
    words = reply.quote(reply.body[: 20 * _WORDS].decode(errors="replace"))
    return f"answered {reply.status}" + (f": {words}" if words else "")


def _not_set(name: str | None) -> str:
    return f"the environment variable {name} is not set where the server runs"


def _pieces(url: str) -> tuple[str, ...]:
    """Return what the address could be guessed from. Its host is not among it: errors of the network tell that too."""
    host, _, path = url.partition("://")[2].partition("/")
    user, _, _ = host.rpartition("@")
    pieces = {piece for piece in re.split(r"[/?&=#:;,@]", f"{user}/{path}") if len(piece) >= _SHORTEST_SECRET}
    return tuple(sorted({*pieces, *map(unquote, pieces)}, key=len, reverse=True))
