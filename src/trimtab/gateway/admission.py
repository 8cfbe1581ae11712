"""Who may call what, judged by the head of a request alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trimtab.providers.http import Refusal, header

if TYPE_CHECKING:
    from trimtab.providers.http import Request
    from trimtab.serving.runtime import DataPlane

__all__ = ["MODEL_PATH", "admit"]

MODEL_PATH = b"/v1/models/"
_METHODS: dict[bytes, tuple[bytes, ...]] = {
    b"/v1/chat/completions": (b"POST",),
    b"/v1/embeddings": (b"POST",),
    b"/v1/feedback": (b"POST",),
    b"/v1/models": (b"GET", b"HEAD"),
    b"/healthz": (b"GET", b"HEAD"),
    b"/readyz": (b"GET", b"HEAD"),
}
_OPEN = frozenset({b"/healthz", b"/readyz"})
"""Probes hold no key; these say nothing but how the process fares."""
_SCHEME = b"bearer "
_LOOPBACK_NAMES = frozenset({b"localhost", b"127.0.0.1", b"[::1]"})


def admit(request: Request, plane: DataPlane, *, always_key: bool, trust_network: bool) -> Refusal | None:
    """Return why a request is refused: its path, its method, its key; `None` where it is not.

    `always_key`: ask for a key even where none exists (any longer): revoking the last key must not open the door.
    `trust_network`: whoever reaches the port may call, web pages among them.
    """
    methods = _METHODS.get(request.path)
    if methods is None:
        if not request.path.startswith(MODEL_PATH) or request.path == MODEL_PATH:
            shown = request.path.decode(errors="replace")
            return Refusal(404, "unknown_url", f"Unknown request URL: {request.method.decode()} {shown}")
        methods = (b"GET", b"HEAD")
    keyed = request.path in _OPEN or always_key or plane.asks_for_keys
    if request.path not in _OPEN and keyed and not _knows(request, plane):
        challenge = b"www-authenticate: Bearer\r\n"
        return Refusal(401, "invalid_api_key", "send a gateway key as `Authorization: Bearer ...`", challenge)
    if request.method not in methods:
        allowed = b", ".join(methods)
        message = f"{request.path.decode()} takes {allowed.decode()}, not {request.method.decode()}"
        return Refusal(405, "method_not_allowed", message, header(b"allow", allowed))
    return None if keyed or trust_network else _foreign_page(request)


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


def _knows(request: Request, plane: DataPlane) -> bool:
    sent = request.headers.get(b"authorization", b"")
    if sent[: len(_SCHEME)].lower() != _SCHEME:
        return False
    try:
        return plane.team_of_key(sent[len(_SCHEME) :].strip().decode()) is not None
    except UnicodeDecodeError:
        return False
