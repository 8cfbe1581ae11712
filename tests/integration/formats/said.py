"""One answer of a model, in no format, as the case files hold it.

Not a test module.
"""

from __future__ import annotations

from typing import Literal

import msgspec

__all__ = ["CREATED", "SERVED", "Call", "Said", "Usage", "pieces"]

SERVED = "served-model-2026-01-31"
"""What every upstream here says that it served, whatever was asked for."""

Stop = Literal["end", "tools", "length", "filter", "sequence"]
CREATED = 1_769_817_600


class Usage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Tokens, counted as OpenAI does: cached input and thinking are among the rest."""

    input: int = 30
    output: int = 9
    cached: int = 0
    cache_written: int = 0
    thinking: int = 0


class Call(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A tool call. `arguments` is JSON text."""

    id: str
    name: str
    arguments: str


class Said(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One answer, in no format."""

    text: str = ""
    calls: tuple[Call, ...] = ()
    refusal: str = ""
    stop: Stop = "end"
    usage: Usage = Usage()
    thought: str = ""
    fails: str = ""
    """Of a stream: the message of the error that it ends with."""


def pieces(text: str) -> list[str]:
    """Return a text as a stream brings it."""
    return [text[start : start + 7] for start in range(0, len(text), 7)]
