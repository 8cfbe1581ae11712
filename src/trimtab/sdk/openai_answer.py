"""Reads chat completions and reassembles their streams. Pure; takes the client's objects by their public fields."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trimtab.artifacts.output_steps import apply_output_adapters
from trimtab.providers.openai import Answer

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["ChatStreamReader", "adapt_chat_completion", "read_chat_completion"]


def read_chat_completion(completion: Any) -> Answer:  # noqa: ANN401 - openai's ChatCompletion, which we do not import
    """Return what a completion says; of several choices the first."""
    choice = completion.choices[0] if completion.choices else None
    message = choice.message if choice is not None else None
    usage = completion.usage
    return Answer(
        served_model=completion.model or "",
        output=(message.content or getattr(message, "refusal", None) or "") if message is not None else "",
        tool_calls=[call.to_dict(mode="json") for call in (message.tool_calls or ())] if message is not None else [],
        finish_reason=_finish_reason(choice),
        input_tokens=(usage.prompt_tokens or 0) if usage is not None else 0,
        output_tokens=(usage.completion_tokens or 0) if usage is not None else 0,
    )


def _finish_reason(choice: Any) -> str:  # noqa: ANN401 - openai's Choice
    """As the provider gave it; `refusal` where the message is one, as the gateway records it."""
    if choice is None:
        return ""
    return "refusal" if getattr(choice.message, "refusal", None) else choice.finish_reason or ""


def adapt_chat_completion(completion: Any, steps: Sequence[str]) -> None:  # noqa: ANN401 - openai's ChatCompletion
    """Apply a release's output adapters to the text of every choice, in place."""
    for choice in completion.choices:
        if choice.message.content:
            choice.message.content = apply_output_adapters(choice.message.content, steps)


def _text(value: Any) -> str:  # noqa: ANN401 - the client does not check it
    if not isinstance(value, str):
        raise TypeError(f"a delta says a `{type(value).__name__}`")
    return value


class ChatStreamReader:
    """Reassembles the first choice of a stream of chunks, whatever order its parts come in.

    With output adapters, text is held back until its choice is complete and comes with the finish reason.
    """

    __slots__ = (
        "_finish_reason",
        "_held",
        "_input_tokens",
        "_model",
        "_output_tokens",
        "_parts",
        "_refused",
        "_steps",
        "_tools",
        "_usage_is_ours",
        "started",
    )

    def __init__(self, *, steps: Sequence[str] = (), usage_is_ours: bool = False) -> None:
        self._steps = steps
        self._usage_is_ours = usage_is_ours
        self._model = ""
        self._parts: list[str] = []
        self._held: dict[int, list[str]] = {}
        self._tools: dict[int, dict[str, Any]] = {}
        self._finish_reason = ""
        self._input_tokens = 0
        self._output_tokens = 0
        self._refused = False
        self.started = False

    def take(self, chunk: Any) -> Sequence[Any]:  # noqa: ANN401 - openai's ChatCompletionChunk
        """Take one chunk; return the chunks that the caller is to see now."""
        self._model = chunk.model or self._model
        if chunk.usage is not None:
            self._input_tokens = chunk.usage.prompt_tokens or 0
            self._output_tokens = chunk.usage.completion_tokens or 0
            if not chunk.choices and self._usage_is_ours:
                return ()
        for choice in chunk.choices:
            if choice.index == 0:
                self._read_delta(choice.delta)
                self._finish_reason = choice.finish_reason or self._finish_reason
        return self._adapted(chunk) if self._steps else (chunk,)

    def _read_delta(self, delta: Any) -> None:  # noqa: ANN401 - openai's ChoiceDelta
        if delta is None:
            return
        refusal = getattr(delta, "refusal", None)
        text = delta.content or refusal
        self._refused = self._refused or bool(refusal)
        self.started = self.started or bool(text or delta.tool_calls)
        if text:
            self._parts.append(_text(text))
        for part in delta.tool_calls or ():
            call = self._tools.setdefault(
                part.index, {"id": "", "type": "function", "function": {"name": "", "arguments": ""}}
            )
            call["id"] = part.id or call["id"]
            if part.function is not None:
                call["function"]["name"] = part.function.name or call["function"]["name"]
                call["function"]["arguments"] += part.function.arguments or ""

    def _adapted(self, chunk: Any) -> Sequence[Any]:  # noqa: ANN401 - openai's ChatCompletionChunk
        says_something = chunk.usage is not None or not chunk.choices
        for choice in chunk.choices:
            delta = choice.delta
            if delta.content:
                self._held.setdefault(choice.index, []).append(delta.content)
                delta.content = ""
            if choice.finish_reason and choice.index in self._held:
                delta.content = apply_output_adapters("".join(self._held.pop(choice.index)), self._steps)
            said = (delta.role, delta.tool_calls, getattr(delta, "refusal", None), choice.finish_reason)
            says_something = says_something or any(said)
        return (chunk,) if says_something else ()

    @property
    def complete(self) -> bool:
        """Whether the provider said why it stopped."""
        return bool(self._finish_reason)

    def answer(self) -> Answer:
        """Return what has arrived so far, adapted."""
        text = "".join(self._parts)
        return Answer(
            served_model=self._model,
            output=text if self._refused else apply_output_adapters(text, self._steps),
            tool_calls=[self._tools[index] for index in sorted(self._tools)],
            finish_reason="refusal" if self._refused else self._finish_reason,
            input_tokens=self._input_tokens,
            output_tokens=self._output_tokens,
        )
