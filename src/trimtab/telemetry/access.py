"""Who may read figures: whoever may call, a scraper with a token of its own, or everybody where that is wanted."""

from __future__ import annotations

import hmac

import msgspec

__all__ = ["MetricsAccess"]

_SCHEME = "bearer "


class MetricsAccess(msgspec.Struct, frozen=True, kw_only=True):
    """How `/metrics` is guarded."""

    open: bool = False
    """Answer anybody who reaches the port."""
    token: str = ""
    """What a scraper sends as `Authorization: Bearer`; where it is empty, `/metrics` is guarded as all else is."""

    def __repr__(self) -> str:
        """Return what may be logged."""
        return f"MetricsAccess(open={self.open}, token={'...' if self.token else ''!r})"

    def admits(self, authorization: bytes | str) -> bool | None:
        """Return whether a request with this header may read; `None` where that is not decided here."""
        if self.open:
            return True
        if not self.token:
            return None
        sent = authorization.decode(errors="replace") if isinstance(authorization, bytes) else authorization
        if sent[: len(_SCHEME)].lower() != _SCHEME:
            return False
        return hmac.compare_digest(sent[len(_SCHEME) :].strip().encode(), self.token.encode())
