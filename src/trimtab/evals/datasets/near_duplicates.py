"""Items that ask nearly the same: exact set-similarity join with prefix filtering.

Two texts are near-duplicates where the Jaccard similarity of their sets of word trigrams reaches a threshold. Only
pairs that share one of their rarest trigrams are compared, which loses none (Chaudhuri, Ganti & Kaushik, ICDE 2006;
Bayardo, Ma & Srikant, WWW 2007).
"""

from __future__ import annotations

import math
import re
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["near_duplicates"]

_WORD = re.compile(r"\w+")
_GRAM = 3


def near_duplicates(texts: Sequence[str], *, threshold: float) -> list[int | None]:
    """Return, for each text, the index of the first earlier text it nearly repeats; `None` where it repeats none.

    `threshold` is a Jaccard similarity in (0, 1]. A text that is itself a repetition is never what others repeat. Case,
    spacing and punctuation do not count.
    """
    sets = [_grams(text) for text in texts]
    frequency = Counter(gram for grams in sets for gram in grams)
    index: dict[str, list[int]] = {}
    found: list[int | None] = []
    for position, grams in enumerate(sets):
        ordered = sorted(grams, key=lambda gram: (frequency[gram], gram))
        prefix = ordered[: len(ordered) - math.ceil(threshold * len(ordered) - 1e-9) + 1]
        candidates = sorted({earlier for gram in prefix for earlier in index.get(gram, ())})
        first = next((other for other in candidates if _similar(grams, sets[other], threshold)), None)
        found.append(first)
        if first is None:
            for gram in prefix:
                index.setdefault(gram, []).append(position)
    return found


def _similar(one: frozenset[str], other: frozenset[str], threshold: float) -> bool:
    if min(len(one), len(other)) < threshold * max(len(one), len(other)) - 1e-9:
        return False
    common = len(one & other)
    return common >= threshold * (len(one) + len(other) - common) - 1e-9


def _grams(text: str) -> frozenset[str]:
    words = _WORD.findall(text.casefold())
    if len(words) < _GRAM:
        return frozenset((" ".join(words),))
    return frozenset(" ".join(words[start : start + _GRAM]) for start in range(len(words) - _GRAM + 1))
