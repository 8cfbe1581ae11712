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


def admit(request: Request, plane: DataPlane, *, always_key: bool) -> Refusal | None:
    """Return why a request is refused: its path, its method, its key; `None` where it is not.

    `always_key`: ask for a key even where none exists (any longer): revoking the last key must not open the door.
    """
    methods = _METHODS.get(request.path)
    if methods is None:
        if not request.path.startswith(MODEL_PATH) or request.path == MODEL_PATH:
            shown = request.path.decode(errors="replace")
            return Refusal(404, "unknown_url", f"Unknown request URL: {request.method.decode()} {shown}")
        methods = (b"GET", b"HEAD")
    if request.path not in _OPEN and (always_key or plane.asks_for_keys) and not _knows(request, plane):
        challenge = b"www-authenticate: Bearer\r\n"
        return Refusal(401, "invalid_api_key", "send a gateway key as `Authorization: Bearer ...`", challenge)
    if request.method not in methods:
        allowed = b", ".join(methods)
        message = f"{request.path.decode()} takes {allowed.decode()}, not {request.method.decode()}"
        return Refusal(405, "method_not_allowed", message, header(b"allow", allowed))
    return None


def _knows(request: Request, plane: DataPlane) -> bool:
    sent = request.headers.get(b"authorization", b"")
    if sent[: len(_SCHEME)].lower() != _SCHEME:
        return False
    try:
        return plane.team_of_key(sent[len(_SCHEME) :].strip().decode()) is not None
    except UnicodeDecodeError:
        return False
