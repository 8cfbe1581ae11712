"""Whatever a caller passes becomes plain JSON or an error that says where it is not."""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import enum
import math
import uuid
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.core.errors import InputError
from trimtab.sdk.request import body_of, checked_variables, plain, plain_items


class Colour(enum.StrEnum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


@dataclasses.dataclass
class Point:
    x: float


class Broken:
    def model_dump(self, *, mode: str, exclude_unset: bool) -> Any:
        raise ValueError(mode, exclude_unset)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(JSON)
def test_json_stays_what_it_is(value: Any) -> None:
    assert plain(value, "x") == value


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Colour.RED, "red"),
        (Level.HIGH, 3),
        (("a", {"b": Colour.RED}), ["a", {"b": "red"}]),
        (dt.date(2026, 1, 2), "2026-01-02"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (decimal.Decimal("1.50"), "1.50"),
        (Point(1.5), {"x": 1.5}),
    ],
)
def test_what_has_one_obvious_json_form_gets_it(value: Any, expected: Any) -> None:
    found = plain(value, "x")
    assert found == expected
    assert msgspec.json.decode(msgspec.json.encode(found)) == expected


@pytest.mark.parametrize(
    ("value", "where"),
    [
        pytest.param(object(), "x", id="an object"),
        pytest.param(dict, "x", id="a class"),
        pytest.param(Broken(), "x", id="an object of a client that cannot be dumped"),
        pytest.param([{"a": b"bytes"}], "x[0].a", id="bytes"),
        pytest.param({"a": {1, 2}}, "x.a", id="a set"),
        pytest.param({"a": [math.nan]}, "x.a[0]", id="no number"),
        pytest.param(Point(math.inf), "x.x", id="infinity inside"),
        pytest.param({"a": "\ud800"}, "x.a", id="half a surrogate pair"),
        pytest.param({"a": {"\ud800": 1}}, "x.a", id="half a surrogate pair in a name"),
        pytest.param({"a": {1: "one"}}, "x.a", id="a name that is a number"),
    ],
)
def test_what_has_none_is_refused_and_named(value: Any, where: str) -> None:
    with pytest.raises(InputError) as caught:
        plain(value, "x")
    assert (caught.value.code, caught.value.param) == ("invalid_type", where)


def test_what_holds_itself_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(InputError, match="nested too deeply"):
        plain(endless, "messages")


@pytest.mark.parametrize("value", ["hello", b"hello", {"role": "user"}, 5])
def test_a_list_is_not_made_of_what_is_none(value: Any) -> None:
    with pytest.raises(InputError, match="`messages` is a list"):
        plain_items(value, "messages")


def test_any_iterable_serves_as_a_list() -> None:
    assert plain_items(({"n": n} for n in range(2)), "messages") == [{"n": 0}, {"n": 1}]


@pytest.mark.parametrize("value", ["shop", 5, [1], [("a", 1), ("b", 3)]])
def test_variables_that_map_nothing_are_refused(value: Any) -> None:
    with pytest.raises(InputError) as caught:
        checked_variables(value)
    assert (caught.value.code, caught.value.param) == ("invalid_variables", "variables")


def test_an_extra_body_that_is_no_object_is_refused() -> None:
    with pytest.raises(InputError, match="`extra_body` is a dict"):
        body_of({"extra_body": ["seed"]})
