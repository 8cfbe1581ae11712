"""What is read of the bodies that OpenAI's API answers with; whatever else they hold is skipped."""

from __future__ import annotations

from typing import Any

import msgspec

__all__ = ["Choice", "Completion", "ErrorBody", "ErrorDetail", "Message", "Usage"]


class Usage(msgspec.Struct, frozen=True, gc=False):
    """Tokens as the provider counted them."""

    prompt_tokens: int = 0
    completion_tokens: int = 0


class Message(msgspec.Struct, frozen=True, gc=False):
    """What the model said."""

    content: str | list[Any] | None = None
    refusal: str | None = None
    tool_calls: list[dict[str, Any]] | None = None
    function_call: dict[str, Any] | None = None


class Choice(msgspec.Struct, frozen=True, gc=False):
    """One choice of a complete answer."""

    message: Message = Message()
    finish_reason: str | None = None


class Completion(msgspec.Struct, frozen=True, gc=False):
    """A complete answer, or an embedding."""

    choices: list[Choice] = []
    model: str = ""
    usage: Usage | None = None


class ErrorDetail(msgspec.Struct, frozen=True):
    """What is said of an error."""

    code: str | int | None = None
    type: str | None = None
    message: str | None = None


class ErrorBody(msgspec.Struct, frozen=True):
    """An answer that is an error."""

    error: ErrorDetail | str
