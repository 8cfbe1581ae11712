"""What one team may use, as settings say it; held by `serving.limits`."""

from __future__ import annotations

from typing import Annotated

import msgspec

__all__ = ["TeamLimit"]


class TeamLimit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one team may use; `None` where it may use any amount."""

    requests_per_minute: Annotated[int, msgspec.Meta(ge=0)] | None = None
    usd_per_day: Annotated[float, msgspec.Meta(ge=0)] | None = None
    """A day of UTC."""
    concurrent: Annotated[int, msgspec.Meta(ge=0)] | None = None
    """Requests in flight at once."""
