"""What a call cost, who answered it, and how that was counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trimtab.behaviour.detector import Detector

if TYPE_CHECKING:
    from trimtab.behaviour.reading import Reading

__all__ = ["DETECTORS"]


def _served_other(reading: Reading) -> bool | None:
    """The model that served is neither the one asked for nor a dated snapshot of it. Asked where both are known."""
    asked, served = reading.output.requested_model, reading.output.served_model
    if not (asked and served):
        return None
    return asked.rpartition("/")[2] != served.rpartition("/")[2] and not served.rpartition("/")[2].startswith(
        asked.rpartition("/")[2] + "-"
    )


def _usage_missing(reading: Reading) -> bool:
    """There is text or a tool call, and no count of output tokens, or a count of 0."""
    return bool(reading.stripped or reading.output.tool_calls) and not reading.output.output_tokens


def _input_tokens(reading: Reading) -> int | None:
    """Tokens of the prompt, compared by their ratio: the prompts are the same, so it is how they are counted."""
    return reading.output.input_tokens or None


def _output_tokens(reading: Reading) -> int | None:
    """Tokens of the output, compared by their ratio."""
    return reading.output.output_tokens or None


def _density(reading: Reading) -> float | None:
    """Output tokens per character, compared by their ratio: another tokenizer, or hidden reasoning that is counted in.

    Asked of texts of at least 20 characters without tool calls.
    """
    tokens = reading.output.output_tokens
    if not tokens or reading.output.tool_calls or len(reading.text) < _FEWEST:
        return None
    return tokens / len(reading.text)


def _latency(reading: Reading) -> float | None:
    """Time to the last byte, compared by its ratio."""
    return reading.output.latency_ms or None


def _first_token(reading: Reading) -> float | None:
    """Time to the first token, compared by its ratio."""
    return reading.output.first_token_ms or None


def _cost(reading: Reading) -> float | None:
    """What the call cost, compared by its ratio."""
    return reading.output.cost_usd or None


_FEWEST = 20

DETECTORS = (
    Detector("model.other", "operations", "was served by another model than asked for", _served_other, worse="more"),
    Detector("usage.missing", "operations", "has no count of its tokens", _usage_missing, worse="more"),
    Detector("usage.input_tokens", "operations", "input tokens", _input_tokens, "ratio", worse="more", least=0.02),
    Detector("usage.output_tokens", "operations", "output tokens", _output_tokens, "ratio", least=0.05),
    Detector("usage.density", "operations", "output tokens per character", _density, "ratio", worse="more", least=0.05),
    Detector("cost.usd", "operations", "cost in USD", _cost, "ratio", worse="more", least=0.05),
    Detector(
        "latency.total_ms", "operations", "milliseconds to the last byte", _latency, "ratio", worse="more", least=0.1
    ),
    Detector(
        "latency.first_token_ms",
        "operations",
        "milliseconds to the first token",
        _first_token,
        "ratio",
        worse="more",
        least=0.1,
    ),
)
