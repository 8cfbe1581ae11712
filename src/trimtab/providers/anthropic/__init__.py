"""Anthropic's Messages format: read and written, and translated from and to chat completions. Pure; no I/O.

Chat completions are the pivot: a caller of either format reaches an upstream of either. Where both ends speak Messages
nothing is translated (`merge_request`, `MessagesAssembler`).
"""

from trimtab.providers.anthropic.answer import adapt_answer, read_answer
from trimtab.providers.anthropic.assembler import MessagesAssembler
from trimtab.providers.anthropic.completion import from_chat_completion, to_chat_completion
from trimtab.providers.anthropic.errors import error_body, read_error, stream_error
from trimtab.providers.anthropic.fields import CHAT_NAMES, MESSAGES_FIELDS
from trimtab.providers.anthropic.headers import headers
from trimtab.providers.anthropic.native import (
    MessagesRequestBuilder,
    merge_request,
    messages_tools,
    recorded_messages,
    unit_of,
    without_met_ceiling,
)
from trimtab.providers.anthropic.request_from_chat import from_chat_request
from trimtab.providers.anthropic.request_to_chat import in_messages_words, to_chat_request
from trimtab.providers.anthropic.stream_from_chat import FromChatStream
from trimtab.providers.anthropic.stream_to_chat import ToChatStream

__all__ = [
    "CHAT_NAMES",
    "MESSAGES_FIELDS",
    "FromChatStream",
    "MessagesAssembler",
    "MessagesRequestBuilder",
    "ToChatStream",
    "adapt_answer",
    "error_body",
    "from_chat_completion",
    "from_chat_request",
    "headers",
    "in_messages_words",
    "merge_request",
    "messages_tools",
    "read_answer",
    "read_error",
    "recorded_messages",
    "stream_error",
    "to_chat_completion",
    "to_chat_request",
    "unit_of",
    "without_met_ceiling",
]
