"""OpenAI's Responses format: read and written, and translated from and to chat completions. Pure; no I/O.

Chat completions are the pivot: a caller of any format reaches an upstream of any. Where both ends speak Responses
nothing is translated (`merge_request`, `ResponsesAssembler`).
"""

from trimtab.providers.responses.answer import adapt_answer, read_answer
from trimtab.providers.responses.assembler import ResponsesAssembler
from trimtab.providers.responses.completion import to_chat_completion
from trimtab.providers.responses.echo import RequestEcho
from trimtab.providers.responses.errors import stream_error
from trimtab.providers.responses.fields import CHAT_NAMES, RESPONSES_FIELDS
from trimtab.providers.responses.native import (
    ResponsesRequestBuilder,
    merge_request,
    recorded_messages,
    responses_tools,
    unit_of,
)
from trimtab.providers.responses.request_from_chat import from_chat_request
from trimtab.providers.responses.request_to_chat import in_responses_words, to_chat_request
from trimtab.providers.responses.response import from_chat_completion
from trimtab.providers.responses.stream_from_chat import FromChatStream
from trimtab.providers.responses.stream_to_chat import ToChatStream

__all__ = [
    "CHAT_NAMES",
    "RESPONSES_FIELDS",
    "FromChatStream",
    "RequestEcho",
    "ResponsesAssembler",
    "ResponsesRequestBuilder",
    "ToChatStream",
    "adapt_answer",
    "from_chat_completion",
    "from_chat_request",
    "in_responses_words",
    "merge_request",
    "read_answer",
    "recorded_messages",
    "responses_tools",
    "stream_error",
    "to_chat_completion",
    "to_chat_request",
    "unit_of",
]
