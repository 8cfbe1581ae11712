"""Money that may be spent. What a call may cost at most is set aside before it is made, so the cap is never passed."""

from __future__ import annotations

import asyncio

__all__ = ["Budget"]


class Budget:
    """A cap in US dollars, shared by everything that asks in one run. For one event loop."""

    def __init__(self, cap_usd: float | None = None) -> None:
        self.cap_usd = cap_usd
        self.spent_usd = 0.0
        self._held_usd = 0.0
        self._held = 0
        self._changed = asyncio.Condition()

    async def hold(self, bound_usd: float) -> bool:
        """Set money aside for one call; waits while others hold some. False where it would not fit even alone."""
        if self.cap_usd is None:
            return True
        async with self._changed:
            while self.spent_usd + self._held_usd + bound_usd > self.cap_usd:
                if not self._held:
                    return False
                await self._changed.wait()
            self._held_usd += bound_usd
            self._held += 1
            return True

    async def settle(self, bound_usd: float, cost_usd: float) -> None:
        """Give back what was set aside, less what the call cost."""
        self.spent_usd += cost_usd
        if self.cap_usd is None:
            return
        async with self._changed:
            self._held_usd -= bound_usd
            self._held -= 1
            self._changed.notify_all()
