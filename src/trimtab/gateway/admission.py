"""Who may call what, judged by the head of a request alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trimtab.providers.http import Refusal, header

if TYPE_CHECKING:
    from trimtab.providers.http import Request
    from trimtab.serving.routing import RoutingTable
    from trimtab.serving.runtime import DataPlane
    from trimtab.telemetry.access import MetricsAccess

__all__ = ["MODEL_PATH", "Admission"]

MODEL_PATH = b"/v1/models/"
_METHODS: dict[bytes, tuple[bytes, ...]] = {
    b"/v1/chat/completions": (b"POST",),
    b"/v1/embeddings": (b"POST",),
    b"/v1/messages": (b"POST",),
    b"/v1/responses": (b"POST",),
    b"/v1/feedback": (b"POST",),
    b"/v1/models": (b"GET", b"HEAD"),
    b"/healthz": (b"GET", b"HEAD"),
    b"/readyz": (b"GET", b"HEAD"),
    b"/metrics": (b"GET", b"HEAD"),
}
_OPEN = frozenset({b"/healthz", b"/readyz"})
"""Probes hold no key; without one they are told only whether the process fares well (`Admission.sees_all`)."""
_METRICS = b"/metrics"
_CHALLENGE = b"www-authenticate: Bearer\r\n"
_SCHEME = b"bearer "
_KEYS_REMEMBERED = 4096
_LOOPBACK_NAMES = frozenset({b"localhost", b"127.0.0.1", b"[::1]"})


class Admission:
    """Judges requests by their heads, and remembers which keys it has seen: hashing is dearer than reading a head."""

    def __init__(self, plane: DataPlane, *, always_key: bool, trust_network: bool, metrics: MetricsAccess) -> None:
        """Note how open the gateway may be.

        `always_key`: ask for a key even where none exists (any longer): revoking the last one opens no door.
        `trust_network`: whoever reaches the port may call, web pages among them. `metrics`: who may read figures.
        """
        self._plane = plane
        self._always_key = always_key
        self._trust_network = trust_network
        self._metrics = metrics
        self._teams: dict[bytes, str] = {}
        self._table: RoutingTable | None = None
        self._keyed = always_key

    def judge(self, request: Request) -> Refusal | None:
        """Return why a request is refused: its path, its method, its key; `None` where it is not.

        Whose key it is becomes the request's `principal`.
        """
        if self._plane.table is not self._table:
            self._follow()
        path = request.path
        methods = _METHODS.get(path)
        if methods is None:
            if not path.startswith(MODEL_PATH) or path == MODEL_PATH:
                shown = path.decode(errors="replace")
                return Refusal(404, "unknown_url", f"Unknown request URL: {request.method.decode()} {shown}")
            methods = (b"GET", b"HEAD")
        headers = request.headers
        scraper = self._metrics.admits(headers.get(b"authorization", b"")) if path == _METRICS else None
        if scraper is False:
            return Refusal(401, "invalid_token", "send the scraper's token as `Authorization: Bearer ...`", _CHALLENGE)
        if self._keyed and path not in _OPEN and not scraper:
            team = self._teams.get(headers.get(b"authorization", b"")) or self._team(headers)
            if team is None:
                message = "send a gateway key as `Authorization: Bearer ...` (or `x-api-key: ...`)"
                return Refusal(401, "invalid_api_key", message, _CHALLENGE)
            request.principal = team
        if request.method not in methods:
            allowed = b", ".join(methods)
            message = f"{path.decode()} takes {allowed.decode()}, not {request.method.decode()}"
            return Refusal(405, "method_not_allowed", message, header(b"allow", allowed))
        if self._keyed or self._trust_network or path in _OPEN or scraper:
            return None
        return _foreign_page(request)

    def sees_all(self, request: Request) -> bool:
        """Return whether a request for what probes ask for may be told everything: with a key, where any exists."""
        return not self._keyed or self._team(request.headers) is not None

    def _follow(self) -> None:
        """A new snapshot: keys may have been made or revoked."""
        self._table = self._plane.table
        self._keyed = self._always_key or self._plane.asks_for_keys
        self._teams.clear()

    def _team(self, headers: dict[bytes, bytes]) -> str | None:
        sent = headers.get(b"authorization")
        if sent is None:
            return self._look_up(headers.get(b"x-api-key", b""))
        if sent[: len(_SCHEME)].lower() != _SCHEME:
            return None
        team = self._look_up(sent[len(_SCHEME) :])
        if team is not None and len(self._teams) < _KEYS_REMEMBERED:
            self._teams[sent] = team
        return team

    def _look_up(self, key: bytes) -> str | None:
        try:
            return self._plane.team_of_key(key.strip().decode())
        except UnicodeDecodeError:
            return None


def _foreign_page(request: Request) -> Refusal | None:
    """Refuse what a web page of somebody else's could send to an open gateway on this machine.

    A form or a plain fetch cannot say `application/json` without asking first, and a rebound name is not a loopback
    one. With keys none of this matters: a page has no key.
    """
    host = request.headers.get(b"host", b"localhost").lower()
    name = host.rpartition(b":")[0] if host.rpartition(b":")[2].isdigit() else host
    if name not in _LOOPBACK_NAMES:
        hint = "create a key (trimtab key create TEAM), or call it by a loopback name"
        return Refusal(403, "foreign_host", f"an open gateway answers loopback names only; {hint}")
    kind = request.headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if request.method == b"POST" and kind != b"application/json":
        return Refusal(415, "not_json", "the content-type must be application/json")
    return None
