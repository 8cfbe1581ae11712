"""What an application may tell of its own model call: facts are refused or exact, content never costs the record."""

from __future__ import annotations

import enum
import math
import types
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.core.errors import InputError
from trimtab.sdk.own_call import own_call, tokens_of


class Text(str):
    __slots__ = ()


class Number(float):
    """As `numpy.float64` is one."""


class Reason(enum.StrEnum):
    STOP = "stop"


def refused(**told: Any) -> InputError:
    with pytest.raises(InputError) as caught:
        tokens_of(told.pop("usage", None) or {})
        own_call(told.pop("output", ""), told)
    assert caught.value.code == "invalid_detail"
    return caught.value


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("status", "fine"),
        ("status", 1),
        ("error_code", b"bytes"),
        ("http_status", "200"),
        ("http_status", 10**6),
        ("http_status", -1),
        ("served_model", object()),
        ("finish_reason", ["stop"]),
        ("stream", "yes"),
        ("trace", 5),
        ("latency_ms", "slow"),
        ("latency_ms", 10**400),
        ("first_token_ms", object()),
    ],
)
def test_a_fact_of_a_wrong_type_is_refused_and_named(name: str, value: Any) -> None:
    error = refused(**{name: value})
    assert error.param == name
    assert f"`{name}`" in error.message


def test_a_detail_that_does_not_exist_is_refused_and_those_that_do_are_named() -> None:
    error = refused(stauts="ok")
    assert "`stauts`" in error.message
    assert "status" in (error.hint or "")


@pytest.mark.parametrize(
    "usage",
    [
        pytest.param({"input_tokens": "many"}, id="words"),
        pytest.param({"input_tokens": math.nan}, id="nan"),
        pytest.param({"input_tokens": math.inf}, id="infinity"),
        pytest.param({"input_tokens": -1}, id="fewer than none"),
        pytest.param({"output_tokens": 10**400}, id="more than a float holds"),
        pytest.param({"completion_tokens": object()}, id="an object"),
        pytest.param("12", id="a text"),
        pytest.param(12, id="a number"),
        pytest.param([1, 2], id="a list"),
    ],
)
def test_usage_that_counts_no_tokens_is_refused(usage: Any) -> None:
    assert refused(usage=usage).param == "usage"


@pytest.mark.parametrize(
    ("usage", "counted"),
    [
        ({"input_tokens": 3, "output_tokens": 4}, (3, 4)),
        ({"prompt_tokens": 3, "completion_tokens": None}, (3, 0)),
        (types.MappingProxyType({"input_tokens": 3.0}), (3, 0)),
        (types.SimpleNamespace(prompt_tokens=3, completion_tokens=4), (3, 4)),
        ({"total_tokens": 7}, (0, 0)),
        ({}, (0, 0)),
    ],
)
def test_usage_is_read_from_keys_or_attributes_of_either_provider(usage: Any, counted: tuple[int, int]) -> None:
    assert tokens_of(usage) == counted


def test_derived_types_are_recorded_as_what_they_are_derived_from() -> None:
    told = {"latency_ms": Number(12.5), "served_model": Text("gpt-a"), "finish_reason": Reason.STOP}
    call = own_call(Text("said"), told)
    assert (call.latency_ms, call.served_model, call.finish_reason) == (12.5, "gpt-a", "stop")
    assert {type(call.latency_ms), type(call.served_model)} == {float, str}


def test_none_says_nothing() -> None:
    nothing = dict.fromkeys(("status", "error_code", "http_status", "tool_calls", "stream", "latency_ms"))
    assert own_call(None, nothing).status == "ok"
    assert own_call(None, nothing).output == ""


def test_tool_calls_of_a_client_are_taken_as_json() -> None:
    class Call:
        def model_dump(self, *, mode: str, exclude_unset: bool) -> dict[str, Any]:
            assert (mode, exclude_unset) == ("json", True)
            return {"id": "call_1"}

    assert own_call("", {"tool_calls": (Call(), {"id": "call_2"})}).tool_calls == [
        {"id": "call_1"},
        {"id": "call_2"},
    ]


CONTENT = st.recursive(
    st.one_of(st.none(), st.integers(), st.floats(), st.text(), st.binary(), st.builds(object), st.just(Reason.STOP)),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner) | st.sets(st.integers()),
)


@given(output=CONTENT, tool_calls=CONTENT)
def test_no_content_is_a_reason_to_refuse(output: Any, tool_calls: Any) -> None:
    assert own_call(output, {"tool_calls": tool_calls}).status == "ok"
