"""What feedback and scores say, checked before it is recorded: later nobody could ask what was meant."""

from __future__ import annotations

import math

from trimtab.core.errors import InputError
from trimtab.core.ids import id_time_ms
from trimtab.sdk.stamp import Served

__all__ = ["check_texts", "generation_id", "signal_value"]


def generation_id(generation: str | Served) -> str:
    """Return the id of the generation that is meant; raises `InputError` for what is no id."""
    identifier = generation.generation if isinstance(generation, Served) else generation
    check_texts(generation=identifier)
    id_time_ms(identifier)
    return identifier


def check_texts(**texts: str) -> None:
    """Raise `InputError` (`invalid_feedback`) for what is recorded as text and is none."""
    for name, text in texts.items():
        if not isinstance(text, str):
            raise InputError("invalid_feedback", f"`{name}` is text, not `{type(text).__name__}`", param=name)


def signal_value(name: str, value: float) -> float:
    """Return a signal's value as a float; raises `InputError` for one that says nothing."""
    try:
        number = float(value)
    except OverflowError:
        value = number = math.inf  # an integer of 5000 digits could not even be shown
    except (TypeError, ValueError):
        number = math.nan
    if not name or not math.isfinite(number):
        raise InputError(
            "invalid_feedback",
            f"`{name}` = {value!r:.100} is no signal: it needs a name and a finite number",
            param="value" if name else "name",
            hint="send 1 for good and 0 for bad, or a number on a scale of your own",
        )
    return number
