"""Counted things in words."""

from __future__ import annotations

import pytest

from trimtab.core.quantity import quantity


@pytest.mark.parametrize(("count", "said"), [(0, "0 items"), (1, "1 item"), (2, "2 items"), (12345, "12,345 items")])
def test_one_thing_is_not_many(count: int, said: str) -> None:
    assert quantity(count, "item") == said


def test_a_plural_may_be_irregular() -> None:
    assert [quantity(count, "entry", "entries") for count in (1, 2)] == ["1 entry", "2 entries"]
