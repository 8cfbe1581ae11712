"""One generation event per model call, whatever becomes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from trimtab.gateway.caller import Caller
    from trimtab.gateway.upstream import Outcome
    from trimtab.providers.openai import Answer
    from trimtab.serving.generation import GenerationRecord
    from trimtab.serving.runtime import DataPlane

__all__ = ["Recording"]


class Recording:
    """A model call's event in the making; `end` or `abort` writes it, once."""

    __slots__ = ("_caller", "_ended", "_plane", "_record", "_stream", "messages")

    def __init__(self, plane: DataPlane, record: GenerationRecord, caller: Caller, *, stream: bool) -> None:
        self._plane = plane
        self._record = record
        self._caller = caller
        self._stream = stream
        self._ended = False
        self.messages: list[dict[str, Any]] = []
        """The prompt as it was sent; empty until it was rendered."""

    @property
    def id(self) -> str:
        """Id of the generation."""
        return self._record.id

    def first_token(self) -> None:
        """Note that the answer itself has begun."""
        self._record.first_token()

    def end(self, outcome: Outcome) -> None:
        """Write the event of a call that ended, well or not."""
        self._write("error" if outcome.answer.error_code else "ok", outcome.answer, outcome.status)

    def abort(self, partial: Answer) -> None:
        """Write the event of a call whose caller went away."""
        self._write("aborted", partial, 0)

    def _write(self, status: Literal["ok", "error", "aborted"], answer: Answer, http_status: int) -> None:
        if self._ended:
            return
        self._ended = True
        event = self._record.finish(
            process=self._plane.process_id,
            status=status,
            error_code=answer.error_code,
            http_status=http_status,
            stream=self._stream,
            served_model=answer.served_model,
            input_tokens=answer.input_tokens,
            output_tokens=answer.output_tokens,
            finish_reason=answer.finish_reason,
            variables=self._caller.variables,
            messages=self.messages,
            output=answer.output,
            tool_calls=answer.tool_calls,
            trace=self._caller.trace,
        )
        self._plane.record(event)
