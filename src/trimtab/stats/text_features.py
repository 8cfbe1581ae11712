"""A text as a point in space: what it says by hashed words, how it looks by random Fourier features. Plain Python.

Two texts are near each other where they share words (Weinberger et al., "Feature hashing for large scale multitask
learning", ICML 2009) and have much the same length, lines and share of symbols (Rahimi & Recht, "Random features for
large-scale kernel machines", NIPS 2007: inner products of these cosines approach a Gaussian kernel). Both halves have
a length of at most 1/√2, so that no text counts for more than one.

The same text gives the same point in every process; another way to make points is another version.
"""

from __future__ import annotations

import math
import random
import re
import zlib
from statistics import NormalDist

__all__ = ["DIMENSIONS", "text_features"]

_WORDS = 48
_SHAPES = 16
DIMENSIONS = _WORDS + _SHAPES
"""Length of a point."""
_LOOKED_AT = 500
"""Characters whose words are hashed and counted: a longer answer costs no more. Length and lines are of the whole."""
_HALF = math.sqrt(0.5)
_token = re.compile(r"\w+|[^\w\s]")


def _frequencies() -> list[tuple[tuple[float, ...], float]]:
    """Draw the cosines' frequencies and phases: standard normal, uniform on the circle, the same everywhere."""
    source, normal = random.Random("shape 1"), NormalDist()  # noqa: S311 - a fixed draw, no secret
    return [
        (
            tuple(normal.inv_cdf(max(source.random(), 1e-12)) for _ in range(6)),
            2.0 * math.pi * source.random(),
        )
        for _ in range(_SHAPES)
    ]


_COSINES = _frequencies()


def _shape(text: str) -> tuple[float, ...]:
    """Describe how a text looks, each number scaled so that a clear difference between texts is about 1."""
    size = len(text)
    head = text[:_LOOKED_AT]
    seen = max(1, len(head))
    letters = sum(map(str.isalpha, head))
    spaces = sum(map(str.isspace, head))
    return (
        2.0 * math.log1p(size / 20.0),
        1.5 * math.log1p(text.count("\n")),
        4.0 * (seen - letters - spaces) / seen,
        2.0 * head.lstrip().startswith(("{", "[", "```")),
        1.5 * math.log1p(head.count("```") + head.count("**") + head.count("\n- ")),
        1.0 * (size > 0),
    )


def _words(text: str) -> list[float]:
    """Count words, cut to size by a hash; a count weighs as its root, so that `the` does not drown the rest."""
    counts: dict[int, int] = {}
    for word in _token.findall(text[:_LOOKED_AT].lower()):
        key = zlib.crc32(word.encode("utf-8", "surrogatepass"))
        counts[key] = counts.get(key, 0) + 1
    cells = [0.0] * _WORDS
    for key, count in counts.items():
        root = math.sqrt(count)
        cells[key % _WORDS] += root if key & 0x80000000 else -root
    length = math.sqrt(sum(cell * cell for cell in cells))
    return [_HALF * cell / length for cell in cells] if length else cells


def text_features(text: str) -> list[float]:
    """Return the point of a text: `DIMENSIONS` numbers, of length at most 1."""
    shape = _shape(text)
    scale = _HALF / math.sqrt(_SHAPES)
    looks = [
        scale * math.cos(sum(f * s for f, s in zip(frequencies, shape, strict=True)) + phase)
        for frequencies, phase in _COSINES
    ]
    return _words(text) + looks
