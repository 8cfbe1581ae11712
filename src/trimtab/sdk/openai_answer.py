"""Reads chat completions and reassembles their streams. Pure; takes the client's objects by their public fields."""

from __future__ import annotations

from typing import Any

from trimtab.sdk.answer import Answer

__all__ = ["ChatStreamReader", "is_usage_chunk", "read_chat_completion"]


def read_chat_completion(completion: Any) -> Answer:  # noqa: ANN401 - openai's ChatCompletion, which we do not import
    """Return what a completion says; of several choices the first."""
    choice = completion.choices[0] if completion.choices else None
    message = choice.message if choice is not None else None
    usage = completion.usage
    return Answer(
        served_model=completion.model or "",
        output=_text(message),
        tool_calls=[call.to_dict(mode="json") for call in (message.tool_calls or ())] if message is not None else [],
        finish_reason=(choice.finish_reason or "") if choice is not None else "",
        input_tokens=(usage.prompt_tokens or 0) if usage is not None else 0,
        output_tokens=(usage.completion_tokens or 0) if usage is not None else 0,
    )


def _text(message: Any) -> str:  # noqa: ANN401 - openai's ChatCompletionMessage
    if message is None:
        return ""
    return message.content or getattr(message, "refusal", None) or ""


def is_usage_chunk(chunk: Any) -> bool:  # noqa: ANN401 - openai's ChatCompletionChunk
    """Whether a chunk is the one at the end that carries usage and no choice."""
    return not chunk.choices and chunk.usage is not None


class ChatStreamReader:
    """Reassembles the first choice of a stream of chunks, whatever order its parts come in."""

    __slots__ = ("_finish_reason", "_input_tokens", "_model", "_output_tokens", "_parts", "_tools")

    def __init__(self) -> None:
        self._model = ""
        self._parts: list[str] = []
        self._tools: dict[int, dict[str, Any]] = {}
        self._finish_reason = ""
        self._input_tokens = 0
        self._output_tokens = 0

    def read(self, chunk: Any) -> bool:  # noqa: ANN401 - openai's ChatCompletionChunk
        """Take one chunk; return whether it brought any of the answer (text, refusal or tool call)."""
        self._model = chunk.model or self._model
        if chunk.usage is not None:
            self._input_tokens = chunk.usage.prompt_tokens or 0
            self._output_tokens = chunk.usage.completion_tokens or 0
        brought = False
        for choice in chunk.choices:
            if choice.index == 0:
                brought = self._read_delta(choice.delta) or brought
                self._finish_reason = choice.finish_reason or self._finish_reason
        return brought

    def _read_delta(self, delta: Any) -> bool:  # noqa: ANN401 - openai's ChoiceDelta
        if delta is None:
            return False
        text = delta.content or getattr(delta, "refusal", None)
        if text:
            self._parts.append(text)
        for part in delta.tool_calls or ():
            call = self._tools.setdefault(
                part.index, {"id": "", "type": "function", "function": {"name": "", "arguments": ""}}
            )
            call["id"] = part.id or call["id"]
            if part.function is not None:
                call["function"]["name"] += part.function.name or ""
                call["function"]["arguments"] += part.function.arguments or ""
        return bool(text or delta.tool_calls)

    @property
    def complete(self) -> bool:
        """Whether the provider said why it stopped."""
        return bool(self._finish_reason)

    def answer(self) -> Answer:
        """Return what has arrived so far."""
        return Answer(
            served_model=self._model,
            output="".join(self._parts),
            tool_calls=[self._tools[index] for index in sorted(self._tools)],
            finish_reason=self._finish_reason,
            input_tokens=self._input_tokens,
            output_tokens=self._output_tokens,
        )
