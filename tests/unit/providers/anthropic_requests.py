"""A release, a question and refusals: what tests of Messages requests start from."""

from __future__ import annotations

from typing import Any

import pytest

from trimtab.artifacts.model import (
    ModelContent,
    PromptContent,
)
from trimtab.core.errors import InputError
from trimtab.providers.anthropic import (
    from_chat_request,
)
from trimtab.releases.model import CompiledRelease

QUESTION = {"role": "user", "content": "Where is A-1?"}
PNG = "iVBORw0KGgo="
SCHEMA = {"type": "object", "properties": {"order": {"type": "string"}}, "required": ["order"]}
TEXT = {"type": "text", "text": "a"}


def release(parameters: dict[str, Any] | None = None, **changes: Any) -> CompiledRelease:
    fields: dict[str, Any] = {
        "digest": "sha256:" + "b" * 64,
        "feature": "support-reply",
        "number": 4,
        "prompt": PromptContent(messages=[], variables={}),
        "model": ModelContent(provider="anthropic", model="claude-sonnet-4-5", parameters=parameters or {}),
    }
    return CompiledRelease(**fields | changes)


def chat(**fields: Any) -> dict[str, Any]:
    return from_chat_request({"model": "m", "max_tokens": 9, "messages": [QUESTION], **fields})


def refusal(call: Any, *arguments: Any) -> tuple[str, str | None]:
    with pytest.raises(InputError) as caught:
        call(*arguments)
    return caught.value.code, caught.value.param


def turn(*blocks: Any, role: str = "user") -> dict[str, Any]:
    return {"messages": [{"role": role, "content": list(blocks)}, QUESTION]}
