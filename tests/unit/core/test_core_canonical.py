from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.core.canonical import canonical_digest, canonical_json
from trimtab.core.errors import InputError

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def test_the_published_example_of_rfc_8785_comes_out_byte_for_byte() -> None:
    # RFC 8785 §3.2.2 and §3.2.3
    value = {
        "numbers": [333333333.33333329, 1e30, 4.50, 2e-3, 0.000000000000000000000000001],
        "string": "\u20ac$\u000f\u000aA'\u0042\u0022\u005c\\\"/",
        "literals": [None, True, False],
    }
    assert (
        canonical_json(value)
        == (
            '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],'
            '"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
        ).encode()
    )


@given(json_values)
def test_a_round_trip_through_json_keeps_the_digest(value: object) -> None:
    assert canonical_digest(json.loads(json.dumps(value))) == canonical_digest(value)


@given(st.dictionaries(st.text(), st.integers(-1000, 1000), min_size=2))
def test_key_order_does_not_matter(value: dict[str, int]) -> None:
    assert canonical_digest(dict(reversed(value.items()))) == canonical_digest(value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 2**60, "\ud800", {"a": [float("-inf")]}])
def test_what_json_cannot_carry_exactly_is_refused(value: object) -> None:
    with pytest.raises(InputError) as caught:
        canonical_json(value)
    assert caught.value.code == "not_canonical"
