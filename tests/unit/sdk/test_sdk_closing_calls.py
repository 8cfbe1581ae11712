"""Whoever waits for a managed call hears of it when the loop stops, whenever the call came."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest

from trimtab.core.errors import TrimtabError
from trimtab.sdk.blocking import BlockingCalls
from trimtab.sdk.client import Trimtab

if TYPE_CHECKING:
    from pathlib import Path


class Calls:
    """Calls that are never answered."""

    async def chat(self, feature: str, **arguments: Any) -> None:
        await asyncio.Event().wait()

    async def aclose(self) -> None:
        pass


def ask(calls: BlockingCalls | Trimtab, heard: list[str]) -> None:
    """Call until it is refused."""
    while True:
        try:
            calls.chat("support-reply")
        except TrimtabError as error:
            heard.append(error.code)
            return


def started(calls: BlockingCalls | Trimtab, heard: list[str]) -> threading.Thread:
    thread = threading.Thread(target=ask, args=(calls, heard), daemon=True)
    thread.start()
    return thread


def test_a_call_that_comes_while_the_loop_ends_is_refused_not_left_waiting() -> None:
    calls = BlockingCalls(Calls)  # type: ignore[arg-type]
    cancel_all = calls._cancel_all
    heard: list[str] = []
    late: list[threading.Thread] = []

    def come_late() -> None:
        cancel_all()
        late.append(started(calls, heard))  # what is handed over now is never run
        while late[0].is_alive() and not calls._submitted:
            pass

    calls._cancel_all = come_late  # type: ignore[method-assign]
    calls.close()
    late[0].join(10)
    assert (late[0].is_alive(), heard) == (False, ["closed"])


def test_a_signal_may_close_at_the_very_moment_a_call_is_handed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = BlockingCalls(Calls)  # type: ignore[arg-type]
    hand_over = asyncio.run_coroutine_threadsafe
    heard: list[str] = []

    def interrupted(work: Any, loop: Any) -> Any:
        monkeypatch.undo()
        calls.close()  # what a handler of SIGTERM does, in the same thread
        return hand_over(work, loop)

    monkeypatch.setattr(asyncio, "run_coroutine_threadsafe", interrupted)
    thread = started(calls, heard)
    thread.join(10)
    assert (thread.is_alive(), heard) == (False, ["closed"])


def test_a_first_call_beside_closing_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tt, heard = Trimtab(tmp_path), list[str]()
    plane = tt._process.plane

    def close_first() -> Any:
        open_still = plane()
        monkeypatch.undo()
        tt.close()
        return open_still

    monkeypatch.setattr(tt._process, "plane", close_first)
    thread = started(tt, heard)
    thread.join(10)
    assert (thread.is_alive(), heard) == (False, ["closed"])


@pytest.mark.parametrize("round", range(20))
def test_calls_beside_closing_all_come_to_an_end(round: int) -> None:  # noqa: A002 - only to repeat it
    calls = BlockingCalls(Calls)  # type: ignore[arg-type]
    heard: list[str] = []
    threads = [started(calls, heard) for _ in range(4)]
    calls.close()
    for thread in threads:
        thread.join(10)
    assert heard == ["closed"] * 4
