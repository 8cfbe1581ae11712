"""The OpenAI wire format: what we send, what we read, and how answers are put together. Pure; no I/O."""

from trimtab.providers.openai.adapters import adapt_completion
from trimtab.providers.openai.answer import (
    UNREADABLE,
    Answer,
    answer_of_error,
    error_message,
    read_completion,
    read_embeddings,
)
from trimtab.providers.openai.request import ChatRequestBuilder, build_embeddings_request, build_request, wants_usage
from trimtab.providers.openai.stream import StreamAssembler

__all__ = [
    "UNREADABLE",
    "Answer",
    "ChatRequestBuilder",
    "StreamAssembler",
    "adapt_completion",
    "answer_of_error",
    "build_embeddings_request",
    "build_request",
    "error_message",
    "read_completion",
    "read_embeddings",
    "wants_usage",
]
