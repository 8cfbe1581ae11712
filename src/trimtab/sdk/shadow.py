"""A mirrored request: the candidate's answer to a question that stable has answered. Nobody waits for it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from trimtab.sdk.recorded_stream import AsyncRecordedStream, RecordedStream

if TYPE_CHECKING:
    from trimtab.sdk.call import FeatureCall
    from trimtab.sdk.mirror import Mirrors
    from trimtab.serving.shadow_budget import ShadowBudgets

__all__ = ["ShadowJob", "mirror_call"]


def mirror_call(primary: FeatureCall, mirrors: Mirrors, budgets: ShadowBudgets) -> None:
    """Send a copy of a request to the candidate, now that the user is answered."""
    submit = mirrors.submit_async if primary.calls.is_async else mirrors.submit
    submit(ShadowJob(primary, budgets))


class ShadowJob:
    """One mirrored request through the same client. Its failures are in the journal, nowhere else.

    What the candidate asks tools for is recorded and goes no further: the application that would run them never sees
    the answer.
    """

    def __init__(self, primary: FeatureCall, budgets: ShadowBudgets) -> None:
        self._primary = primary
        self._budgets = budgets
        self._call: FeatureCall | None = None
        self._lock = threading.Lock()

    def run(self) -> None:
        """Call the provider and record, in a thread of the pool."""
        call = self._started()
        try:
            request = call.mirrored(self._budgets)
            if request is None:
                return
            response = self._primary.calls.create(**request)
            if call.streams:
                for _ in RecordedStream(response, call):
                    pass
            else:
                call.answered(response)
        except Exception as error:  # noqa: BLE001 - whatever the client raises is the candidate's failure, on record
            call.failed(error)

    async def run_async(self) -> None:
        """Call the provider and record, in the caller's event loop."""
        call = self._started()
        try:
            request = call.mirrored(self._budgets)
            if request is None:
                return
            response = await self._primary.calls.create(**request)
            if call.streams:
                async for _ in AsyncRecordedStream(response, call):
                    pass
            else:
                call.answered(response)
        except Exception as error:  # noqa: BLE001 - as above
            call.failed(error)

    def abandon(self, code: str) -> None:
        """Record that it was not carried out; ignored once it has recorded itself."""
        self._started().abandoned(code)

    def _started(self) -> FeatureCall:
        with self._lock:
            if self._call is None:
                self._call = self._primary.shadow()
            return self._call
