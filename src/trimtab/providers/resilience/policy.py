"""What may be tried again, how often, and when a target is left alone: the settings, as values."""

from __future__ import annotations

from typing import Annotated

import msgspec

__all__ = ["BreakerPolicy", "RetryPolicy"]

_Seconds = Annotated[float, msgspec.Meta(ge=0, le=86_400)]
_Duration = Annotated[float, msgspec.Meta(gt=0, le=86_400)]
_Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
_Attempts = Annotated[int, msgspec.Meta(ge=1, le=10)]
_Count = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]


class RetryPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How often one call is sent, and how long it waits in between."""

    max_attempts: _Attempts = 3
    """Requests sent for one call at most, the first and those to fallbacks included; 1 never tries again."""
    base_seconds: _Seconds = 0.25
    """Longest wait before the first retry; doubles with each further one. The wait is drawn from zero to this."""
    max_seconds: _Seconds = 8.0
    """What the doubling ends at."""
    max_retry_after_seconds: _Seconds = 5.0
    """Longest Retry-After that is waited for. Beyond it the next fallback is tried, or the answer given as it is."""
    retry_timeouts: bool = False
    """Whether a request that timed out is sent to the same model again: it may have been answered, and paid."""
    fallback_on_context_length: bool = False
    """Whether a prompt too long for the model goes to the next fallback, which may have a larger window."""
    budget_ratio: _Share = 0.2
    """Retries per successful request, of one provider, over the last ten seconds."""
    budget_per_second: _Seconds = 1.0
    """Retries per second that are allowed however few requests there are."""


class BreakerPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a model of a provider is left alone, and how it is taken back."""

    enabled: bool = True
    """Where false, every target is always called."""
    failure_rate: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.5
    """Share of failed calls within the window that opens the circuit."""
    minimum_calls: _Count = 20
    """Calls within the window below which the share says nothing."""
    window_seconds: _Duration = 10.0
    """How far back calls count."""
    consecutive_failures: _Count = 10
    """Failures in a row that open the circuit whatever the window holds."""
    open_seconds: _Duration = 2.0
    """How long the circuit stays open the first time; doubles while probes fail."""
    max_open_seconds: _Duration = 60.0
    """What the doubling ends at."""
    probe_seconds: _Duration = 5.0
    """How long a probe may keep a half-open circuit waiting before another is sent."""
    probes_to_close: _Count = 1
    """Probes that must succeed before the circuit closes."""
    max_limited_seconds: _Seconds = 60.0
    """Longest Retry-After of a 429 for which a model is passed over in favour of its fallbacks."""
