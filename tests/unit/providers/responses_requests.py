"""A release, a question and refusals: what tests of Responses requests start from."""

from __future__ import annotations

from typing import Any

import pytest
from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming
from openai.types.responses.response_create_params import ResponseCreateParamsNonStreaming
from pydantic import TypeAdapter

from trimtab.artifacts.model import (
    ModelContent,
    PromptContent,
    PromptMessage,
)
from trimtab.core.errors import InputError
from trimtab.releases.model import CompiledRelease

QUESTION = {"role": "user", "content": "Where is A-1?"}
SCHEMA = {"type": "object", "properties": {"order": {"type": "string"}}, "required": ["order"]}
PICTURE = "https://example.com/a.png"
CHAT_TYPE: TypeAdapter[Any] = TypeAdapter(CompletionCreateParamsNonStreaming)
RESPONSES_TYPE: TypeAdapter[Any] = TypeAdapter(ResponseCreateParamsNonStreaming)


def release(parameters: dict[str, Any] | None = None, *prompt: tuple[Any, str], **changes: Any) -> CompiledRelease:
    fields: dict[str, Any] = {
        "digest": "sha256:" + "b" * 64,
        "feature": "support-reply",
        "number": 4,
        "prompt": PromptContent(
            messages=[PromptMessage(role=role, content=content) for role, content in prompt], variables={}
        ),
        "model": ModelContent(provider="openai", model="gpt-5.5", parameters=parameters or {}),
    }
    return CompiledRelease(**fields | changes)


def refusal(call: Any, *arguments: Any) -> tuple[str, str | None]:
    with pytest.raises(InputError) as caught:
        call(*arguments)
    return caught.value.code, caught.value.param
