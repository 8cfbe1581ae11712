"""The top-level fields of a Messages request, as Anthropic's API reference lists them, and what chat calls them."""

from __future__ import annotations

__all__ = ["CHAT_NAMES", "MESSAGES_FIELDS", "UNCARRIED_FIELDS"]

UNCARRIED_FIELDS: dict[str, str] = {
    "billing_policy": "chat completions say nothing about billing",
    "cache_control": "chat completions have no cache breakpoints of this kind",
    "compaction": "chat completions do not compact a conversation",
    "container": "chat completions have no containers",
    "context_management": "chat completions do not edit the context",
    "diagnostics": "chat completions have no cache diagnostics",
    "fallback_credit_token": "chat completions have no credits for fallbacks",
    "fallbacks": "a release declares its own fallbacks",
    "inference_geo": "chat completions have no choice of region",
    "mcp_servers": "chat completions do not connect to MCP servers",
    "output_format": "it is the old name of `output_config.format`",
    "service_tier": "the tiers of the two APIs are not the same",
    "speed": "chat completions have no fast mode of this kind",
    "thinking": "chat completions have no thinking budget and return no thinking",
    "thread": "chat completions have no threads",
    "top_k": "chat completions do not sample by rank",
    "user_profile_id": "chat completions have no user profiles",
    "workspace_id": "chat completions have no workspaces",
}
"""Fields of the Messages API, its betas among them, that chat completions have no place for, and why."""

MESSAGES_FIELDS = frozenset(
    {
        *UNCARRIED_FIELDS,
        "max_tokens",
        "messages",
        "metadata",
        "model",
        "output_config",
        "stop_sequences",
        "stream",
        "system",
        "temperature",
        "tool_choice",
        "tools",
        "top_p",
    }
)

CHAT_NAMES: dict[str, str] = {
    "max_completion_tokens": "max_tokens",
    "max_tokens": "max_tokens",
    "parallel_tool_calls": "tool_choice.disable_parallel_tool_use",
    "reasoning_effort": "output_config.effort",
    "response_format": "output_config.format",
    "safety_identifier": "metadata.user_id",
    "stop": "stop_sequences",
    "stream_options": "stream",
    "user": "metadata.user_id",
}
"""Field of a chat request -> the field of the Messages request that it came from, where the names differ."""
