"""Deterministic embeddings: hashed words and letter triples, so that texts that share them are near."""

from __future__ import annotations

import array
import base64
import hashlib
import math
import re
import sys

__all__ = ["as_base64", "embed"]

_WORD = re.compile(r"\w+")
_SLOTS = 4


def embed(text: str, *, model: str, dimensions: int) -> list[float]:
    """Return the unit vector of a text in the space of `model` (other models, other spaces)."""
    vector = [0.0] * dimensions
    words = _WORD.findall(text.lower())
    features = words + [word[start : start + 3] for word in words for start in range(len(word) - 2)]
    for feature in (*features, f"\x00{text}"):
        digest = hashlib.sha256(f"{model}\x1f{feature}".encode("utf-8", "surrogatepass")).digest()
        for slot in range(_SLOTS):
            value = int.from_bytes(digest[slot * 8 : slot * 8 + 8], "big")
            vector[(value >> 1) % dimensions] += 1.0 if value & 1 else -1.0
    norm = math.sqrt(sum(value * value for value in vector))
    if norm == 0.0:  # the features cancelled out
        vector[0] = norm = 1.0
    return [value / norm for value in vector]


def as_base64(vector: list[float]) -> str:
    """Return the vector as little-endian float32 in base64, OpenAI's `encoding_format: base64`."""
    floats = array.array("f", vector)
    if sys.byteorder == "big":
        floats.byteswap()
    return base64.b64encode(floats.tobytes()).decode()
