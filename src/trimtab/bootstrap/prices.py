"""Prices of models, compiled into snapshots so that data planes only multiply."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from trimtab.serving.snapshot import Price

if TYPE_CHECKING:
    from trimtab.releases.model import CompiledRelease

__all__ = ["price_of"]

_MILLION = 1_000_000


def price_of(release: CompiledRelease) -> Price | None:
    """Return what a release's tokens cost today, `None` where nobody knows."""
    return _price(release.model.provider, release.model.model)


@lru_cache(maxsize=1024)
def _price(provider: str, model: str) -> Price | None:
    from genai_prices import Usage, calc_price

    try:
        million_in = calc_price(Usage(input_tokens=_MILLION), model_ref=model, provider_id=provider)
        million_out = calc_price(Usage(output_tokens=_MILLION), model_ref=model, provider_id=provider)
    except LookupError:
        return None
    return Price(input_usd=float(million_in.total_price), output_usd=float(million_out.total_price))
