"""Tokens as chat completions count them, with what is told of them in detail."""

from __future__ import annotations

import msgspec

__all__ = ["ChatUsage"]


class _PromptDetails(msgspec.Struct, frozen=True, gc=False):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None


class _CompletionDetails(msgspec.Struct, frozen=True, gc=False):
    reasoning_tokens: int | None = None


class ChatUsage(msgspec.Struct, frozen=True, gc=False):
    """Tokens of one answer: cached input and reasoning are among the rest."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int | None = None
    prompt_tokens_details: _PromptDetails | None = None
    completion_tokens_details: _CompletionDetails | None = None

    @property
    def cached_tokens(self) -> int:
        """Input tokens read from a cache."""
        return (self.prompt_tokens_details and self.prompt_tokens_details.cached_tokens) or 0

    @property
    def cache_write_tokens(self) -> int:
        """Input tokens written to a cache."""
        return (self.prompt_tokens_details and self.prompt_tokens_details.cache_write_tokens) or 0

    @property
    def reasoning_tokens(self) -> int | None:
        """Output tokens the model thought with; `None` where nobody says."""
        details = self.completion_tokens_details
        return None if details is None else details.reasoning_tokens
