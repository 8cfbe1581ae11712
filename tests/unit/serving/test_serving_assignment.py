from __future__ import annotations

import hashlib
import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.serving.assignment import assign, bucket
from trimtab.serving.snapshot import RolloutRoute

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "assignment.md"
VECTORS = [
    (salt, unit, float(u))
    for salt, unit, u in re.findall(r"^\| `(.*?)` \| `(.*?)` \| ([\d.]+) \|$", PAGE.read_text(), re.MULTILINE)
]
ARMS = re.findall(r"^\| `(.*?)` \| (\w+) \| (\w+) \| (\w+) \| (\w+) \|$", PAGE.read_text(), re.MULTILINE)
units = st.text(min_size=1)
weights = st.floats(0, 1)


def route(**changes: Any) -> RolloutRoute:
    return RolloutRoute(id="ro_1", candidate="c", salt="salt", stage=0, state="progressing", **changes)


def arm(unit: str, **changes: Any) -> str:
    return assign(route(**changes), unit)[0]


@pytest.mark.parametrize(("salt", "unit", "u"), VECTORS)
def test_the_published_vectors_hold(salt: str, unit: str, u: float) -> None:
    assert bucket(salt, unit) == u


def test_there_are_enough_published_vectors() -> None:
    assert len(VECTORS) >= 8
    assert len(ARMS) >= 5


@pytest.mark.parametrize("row", ARMS, ids=lambda row: row[0] or "no unit")
def test_the_published_arms_hold(row: tuple[str, ...]) -> None:
    unit, *expected = row
    splits = [{"weight": 0.1, "control_weight": 0.1}, {"weight": 0.5, "control_weight": 0.5}]
    splits.append({"weight": 0.8, "control_weight": 0.5})
    met = [arm(unit, **split) for split in splits]
    met.append("mirrored" if assign(route(shadow=0.5), unit)[1] else "stable")
    assert met == expected


@pytest.mark.parametrize("head", [b"\xff" * 8, b"\xff" * 6 + b"\xfc\x00"])
def test_weight_one_means_everybody_also_the_highest_bucket(head: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    class Highest:
        def __init__(self, _data: bytes) -> None: ...

        def digest(self) -> bytes:
            return head + bytes(24)

    monkeypatch.setattr("trimtab.serving.assignment.sha256", Highest)
    assert bucket("salt", "unit") == 1.0 - 2.0**-53
    assert arm("unit", weight=1.0, control_weight=1.0) == "candidate"


@given(st.text(), units)
def test_the_bucket_is_the_rule_computed_exactly(salt: str, unit: str) -> None:
    head = hashlib.sha256(salt.encode() + b"\x1f" + unit.encode()).hexdigest()[:16]
    exact = Fraction(int(head, 16), 2**64)
    u = bucket(salt, unit)
    assert 0 <= u < 1
    assert abs(Fraction(u) - exact) <= Fraction(1, 2**53)


@given(units, weights, weights)
def test_who_met_the_candidate_stays_while_weights_grow(unit: str, one: float, other: float) -> None:
    small, large = sorted((one, other))
    if arm(unit, weight=small, control_weight=min(small, 1 - small)) == "candidate":
        assert arm(unit, weight=large, control_weight=min(large, 1 - large)) == "candidate"


@given(units, weights, weights)
def test_the_matched_control_never_takes_a_candidate_unit(unit: str, weight: float, control: float) -> None:
    u = bucket("salt", unit)
    met = arm(unit, weight=weight, control_weight=control)
    assert met == ("candidate" if u < weight else "matched_control" if u >= max(weight, 1 - control) else "stable")


@given(units, weights)
def test_a_shadowed_unit_is_served_by_stable_and_mirrored(unit: str, share: float) -> None:
    met, mirrored = assign(route(shadow=share), unit)
    assert mirrored == (bucket("salt", unit) < share)
    assert met == ("matched_control" if mirrored else "stable")


@given(weights, weights, weights)
def test_a_request_without_a_unit_is_never_experimented_on(weight: float, control: float, shadow: float) -> None:
    assert assign(route(weight=weight, control_weight=control, shadow=shadow), "") == ("stable", False)


@pytest.mark.parametrize("weight", [0.001, 0.05, 0.25, 0.5])
def test_shares_come_out_as_asked_and_arms_are_equal(weight: float) -> None:
    count = 20_000
    met = [arm(f"user-{number}", weight=weight, control_weight=weight) for number in range(count)]
    tolerance = 5 * (weight * (1 - weight) / count) ** 0.5
    assert abs(met.count("candidate") / count - weight) < tolerance
    assert abs(met.count("matched_control") / count - weight) < tolerance


def test_another_salt_draws_anew() -> None:
    names = [f"user-{number}" for number in range(2000)]
    first, second = ({name for name in names if bucket(salt, name) < 0.5} for salt in ("one", "two"))
    assert 400 < len(first & second) < 600
