"""The detectors, family by family; `DETECTORS` is all of them, in the order in which they are told."""

from trimtab.behaviour.detectors import (
    code,
    correctness,
    fences,
    json_text,
    manner,
    markdown,
    notation,
    operations,
    parser,
    shape,
    tools,
)

__all__ = ["DETECTORS"]

DETECTORS = (
    *parser.DETECTORS,
    *code.DETECTORS,
    *json_text.DETECTORS,
    *fences.DETECTORS,
    *tools.DETECTORS,
    *correctness.DETECTORS,
    *manner.DETECTORS,
    *notation.DETECTORS,
    *shape.DETECTORS,
    *markdown.DETECTORS,
    *operations.DETECTORS,
)
"""Without those of single tools and values, which are made where outputs have them (`tool.calls.NAME`, `value...`)."""
