"""Prices of models, compiled into snapshots so that data planes only multiply, and the sizes of their windows."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from trimtab.serving.snapshot import Price

if TYPE_CHECKING:
    from trimtab.releases.model import CompiledRelease

__all__ = ["context_tokens", "price_of"]

_MILLION = 1_000_000


def context_tokens(provider: str, model: str) -> int | None:
    """Return how many tokens a provider's model takes, prompt and answer together; `None` where nobody knows."""
    from genai_prices import Usage, calc_price

    try:
        return calc_price(Usage(input_tokens=1), model_ref=model, provider_id=provider).model.context_window
    except LookupError:
        return None


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
