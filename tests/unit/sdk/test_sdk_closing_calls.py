"""Whoever waits for a managed call hears of it when the loop stops, whenever the call came."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from trimtab.core.errors import TrimtabError
from trimtab.sdk.blocking import BlockingCalls


class Calls:
    """Calls that are never answered."""

    def understand(self, feature: str, **arguments: Any) -> tuple[str, None]:
        return feature, None

    async def answer(self, decision: Any, caller: Any) -> None:
        await asyncio.Event().wait()

    async def aclose(self) -> None:
        pass


def test_a_call_that_comes_while_the_loop_ends_is_refused_not_left_waiting() -> None:
    calls = BlockingCalls(Calls)  # type: ignore[arg-type]
    cancel_all, heard = calls._cancel_all, []

    def ask() -> None:
        try:
            calls.chat("support-reply")
        except TrimtabError as error:
            heard.append(error.code)

    late = threading.Thread(target=ask, daemon=True)

    def come_late() -> None:
        cancel_all()
        late.start()  # nothing that is handed over now would ever be run
        late.join(10)

    calls._cancel_all = come_late  # type: ignore[method-assign]
    calls.close()
    assert (late.is_alive(), heard) == (False, ["closed"])


@pytest.mark.parametrize("round", range(20))
def test_calls_beside_closing_all_come_to_an_end(round: int) -> None:  # noqa: A002 - only to repeat it
    calls = BlockingCalls(Calls)  # type: ignore[arg-type]
    heard: list[str] = []

    def ask() -> None:
        while True:
            try:
                calls.chat("support-reply")
            except TrimtabError as error:
                heard.append(error.code)
                return

    threads = [threading.Thread(target=ask, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    calls.close()
    for thread in threads:
        thread.join(10)
    assert heard == ["closed"] * 4
