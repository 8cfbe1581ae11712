"""The top-level fields of a Responses request, as OpenAI's API reference lists them, and what chat calls them."""

from __future__ import annotations

__all__ = ["CHAT_NAMES", "RESPONSES_FIELDS", "SAYS_NOTHING", "UNCARRIED_FIELDS"]

UNCARRIED_FIELDS: dict[str, str] = {
    "access_programs": "chat completions have no access programs",
    "background": "chat completions answer at once or not at all",
    "background_options": "chat completions answer at once or not at all",
    "context_management": "chat completions do not edit the context",
    "conversation": "chat completions keep no conversation; send it all in `input`",
    "image": "chat completions do not compress images in the context",
    "max_tool_calls": "it limits built-in tools, and chat completions have none",
    "moderation": "its results have no place in the translated answer",
    "previous_response_id": "chat completions keep no response to go on from; send the conversation in `input`",
    "prompt": "a release has its prompt already, and chat completions take no template",
    "store": "the translated response is stored nowhere",
    "truncation": "chat completions do not shorten a conversation that is too long",
}
"""Fields that chat completions have no place for, and why."""

SAYS_NOTHING: dict[str, object] = {"background": False, "store": False, "truncation": "disabled"}
"""Values of such fields that ask for what every chat completion is anyway."""

RESPONSES_FIELDS = frozenset(
    {
        *UNCARRIED_FIELDS,
        "include",
        "input",
        "instructions",
        "max_output_tokens",
        "metadata",
        "model",
        "parallel_tool_calls",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "reasoning",
        "safety_identifier",
        "service_tier",
        "stream",
        "stream_options",
        "temperature",
        "text",
        "tool_choice",
        "tools",
        "top_logprobs",
        "top_p",
        "user",
    }
)

CHAT_NAMES: dict[str, str] = {
    "function_call": "tool_choice",
    "functions": "tools",
    "logprobs": "include",
    "max_completion_tokens": "max_output_tokens",
    "max_tokens": "max_output_tokens",
    "messages": "input",
    "reasoning_effort": "reasoning.effort",
    "response_format": "text.format",
    "verbosity": "text.verbosity",
}
"""Field of a chat request -> the field of the Responses request that it came from, where the names differ."""
