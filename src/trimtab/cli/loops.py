"""Loops that the server runs in threads: ticked until told to stop, watched, and never ended by an error."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from trimtab.cli.output import say, say_failed

if TYPE_CHECKING:
    import threading

    from trimtab.bootstrap.control import OutboundLoop
    from trimtab.control.loop_watch import LoopWatch

__all__ = ["OUTBOUND", "Loop", "drive", "speak"]

OUTBOUND = "outbound"
_MAX_BACKOFF_SECONDS = 10.0


class Loop(Protocol):
    """What is ticked."""

    def tick(self) -> list[str]:
        """Do what is to be done now; returns what is worth telling."""
        ...

    def close(self) -> None:
        """Let go."""
        ...


def drive(name: str, loop: Loop, watch: LoopWatch, stop: threading.Event, tick_seconds: float) -> None:
    """Tick until told to stop. An error is told and tried again, for a controller that gives up guards nobody."""
    pause_seconds = tick_seconds
    while not stop.wait(pause_seconds):
        try:
            for line in loop.tick():
                say(line, loop=name)
            pause_seconds = tick_seconds
            watch.succeeded(name)
        except Exception as error:  # noqa: BLE001 - the loop must outlive whatever goes wrong in one turn
            pause_seconds = _failed(name, error, watch, pause_seconds)
    loop.close()


async def speak(outbound: OutboundLoop, watch: LoopWatch, stop: threading.Event, tick_seconds: float) -> None:
    """Send messages and ask gates until told to stop, in a thread of its own; errors as in `drive`."""
    pause_seconds = tick_seconds
    while not stop.is_set():
        try:
            for line in outbound.tick():
                say(line, loop=OUTBOUND)
            pause_seconds = tick_seconds
            watch.succeeded(OUTBOUND)
        except Exception as error:  # noqa: BLE001 - the loop must outlive whatever goes wrong in one turn
            pause_seconds = _failed(OUTBOUND, error, watch, pause_seconds)
        await asyncio.to_thread(stop.wait, pause_seconds)
    for line in await outbound.close():
        say(line, loop=OUTBOUND)


def _failed(name: str, error: Exception, watch: LoopWatch, pause_seconds: float) -> float:
    """Tell what went wrong; returns how long to wait before the next try."""
    pause_seconds = min(2 * pause_seconds, _MAX_BACKOFF_SECONDS)
    watch.failed(name, f"{type(error).__name__}: {error}")
    say_failed(name, error, then=f"next try in {pause_seconds:.1f} s", loop=name)
    return pause_seconds
