"""Calls that are under way: a bounded number of them, one at a time for each other side."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Coroutine

__all__ = ["UnderWay"]

_AT_ONCE = 20


class UnderWay:
    """Tasks by whom they speak to; what an unforeseen error ended is told."""

    def __init__(self) -> None:
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._told: list[str] = []

    def __contains__(self, key: str) -> bool:
        return key in self._tasks

    @property
    def room(self) -> int:
        """How many more may be started."""
        return _AT_ONCE - len(self._tasks)

    def start(self, key: str, call: Coroutine[Any, Any, None]) -> None:
        """Begin a call to somebody to whom none is under way."""
        task = asyncio.create_task(call, name=key)
        self._tasks[key] = task
        task.add_done_callback(self._ended)

    def tell(self, line: str) -> None:
        """Leave a line for people."""
        self._told.append(line)

    def take_lines(self) -> list[str]:
        """Return the lines left since the last call."""
        told, self._told = self._told, []
        return told

    async def settle(self, timeout_seconds: float | None = None) -> list[str]:
        """Wait for what is under way, and no longer than that; returns the lines left."""
        if self._tasks:
            await asyncio.wait(tuple(self._tasks.values()), timeout=timeout_seconds)
        return self.take_lines()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.pop(task.get_name(), None)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self.tell(f"{task.get_name()}: {type(error).__name__}: {error}")
