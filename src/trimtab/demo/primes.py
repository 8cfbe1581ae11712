"""LLMDrift's "is it prime" task: how an answer is read, and whether it is right (arXiv 2307.09009)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trimtab.events import Generation

__all__ = ["correct", "is_prime", "says_prime"]

_NUMBER = re.compile(r"Is (\d+) a prime number")
_YES = re.compile(r"\byes\b", re.IGNORECASE)
_NO = re.compile(r"\bno\b", re.IGNORECASE)


def says_prime(answer: str) -> bool | None:
    """Read an answer: a "yes" anywhere means prime, else a "no" means not prime, else it says neither.

    This reading gives the published accuracies: gpt-4 84.0 → 51.1 %, gpt-3.5 49.6 → 76.2 %.
    """
    if _YES.search(answer):
        return True
    return False if _NO.search(answer) else None


def is_prime(number: int) -> bool:
    """Tell by trial division (the task's numbers have five digits)."""
    return number > 1 and all(number % divisor for divisor in range(2, int(number**0.5) + 1))


def correct(generation: Generation) -> bool | None:
    """Scorer: is the answer right? `None` where the prompt asks for no number."""
    asked = next((found for message in generation.messages if (found := _NUMBER.search(str(message["content"])))), None)
    if asked is None:
        return None
    return says_prime(generation.output) is is_prime(int(asked[1]))
