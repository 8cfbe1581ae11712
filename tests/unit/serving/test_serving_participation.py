"""Layers exclude, holdouts stay, sessions are nobody's users."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.artifacts.model import ModelContent, PromptContent, PromptMessage
from trimtab.releases.model import CompiledRelease
from trimtab.rollout.model import Rollout
from trimtab.rollout.participation import claim_slot
from trimtab.serving.assignment import RESERVED, assign, bucket, session_unit, takes_part
from trimtab.serving.routing import RoutingTable
from trimtab.serving.snapshot import Band, RolloutRoute, Route, Snapshot

if TYPE_CHECKING:
    from collections.abc import Sequence

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "assignment.md"
BANDS = re.findall(r"^\| `(.*?)` \| (0\.\d+) \| (0\.\d+) \| (\w+) \|$", PAGE.read_text(), re.MULTILINE)
USERS = [f"user-{number}" for number in range(20_000)]
units = st.text(min_size=1)


def layer(start: float, end: float, salt: str = "layer") -> Band:
    return Band(kind="layer", name="l", salt=salt, start=start, end=end)


def holdout(share: float) -> Band:
    return Band(kind="holdout", name="", salt="holdout", start=share, end=1.0)


def route(*bands: Band, salt: str = "salt", **changes: Any) -> RolloutRoute:
    split = {"weight": 0.5, "control_weight": 0.5} | changes
    return RolloutRoute(
        id="ro_1", candidate="sha256:2", salt=salt, stage=0, state="progressing", bands=list(bands), **split
    )


def holder(number: int, band: Band) -> Rollout:
    return Rollout(
        id=f"ro_{number}",
        feature=f"f{number}",
        environment="e",
        stable="s",
        candidate="c",
        plan=b"{}",
        salt="x",
        state="progressing",
        bands=[band],
        created_at_ms=0,
        created_by="ann",
        updated_at_ms=0,
    )


def met(unit: str, made: RolloutRoute) -> str:
    return assign(made, unit)[0]


def test_there_are_enough_published_vectors() -> None:
    assert {row[-1] for row in BANDS} == {"stable", "matched_control", "candidate"}


@pytest.mark.parametrize(("unit", "in_layer", "in_holdout", "arm"), BANDS)
def test_the_published_vectors_hold(unit: str, in_layer: str, in_holdout: str, arm: str) -> None:
    assert (bucket("layer", unit), bucket("holdout", unit)) == (float(in_layer), float(in_holdout))
    assert met(unit, route(layer(0.3, 0.6), holdout(0.25))) == arm


@given(units, st.lists(st.integers(1, 300_000), min_size=1, max_size=8))
def test_no_unit_takes_part_in_two_rollouts_of_a_layer(unit: str, shares: Sequence[int]) -> None:
    live: list[Rollout] = []
    for number, share in enumerate(shares):
        if sum(shares[: number + 1]) <= 1_000_000:
            band = claim_slot(live, layer="l", percent=share / 10_000, salt=f"salt {number}")
            live.append(holder(number, band))
    taking = [rollout.id for rollout in live if takes_part(rollout.bands, unit)]
    assert len(taking) == (bucket("salt 0", unit) < live[-1].bands[0].end)


@given(units, st.floats(0, 1), st.floats(0, 1))
def test_who_met_the_candidate_in_a_slot_stays_while_weights_grow(unit: str, one: float, other: float) -> None:
    small, large = sorted((one, other))
    bands = (layer(0.2, 0.9), holdout(0.1))
    if met(unit, route(*bands, weight=small, control_weight=min(small, 1 - small))) == "candidate":
        assert met(unit, route(*bands, weight=large, control_weight=min(large, 1 - large))) == "candidate"


@given(units, st.floats(0, 1), st.floats(0, 1))
def test_a_larger_holdout_holds_the_units_of_the_smaller_one(unit: str, one: float, other: float) -> None:
    small, large = sorted((one, other))
    if not takes_part([holdout(small)], unit):
        assert not takes_part([holdout(large)], unit)


@given(units)
def test_a_held_out_unit_meets_stable_in_every_attempt_and_is_never_mirrored(unit: str) -> None:
    held = not takes_part([holdout(0.3)], unit)
    for salt in ("first", "second"):
        arm = assign(route(holdout(0.3), salt=salt, weight=1.0), unit)
        mirrored = assign(route(holdout(0.3), salt=salt, weight=0.0, shadow=1.0), unit)
        assert (arm == ("stable", False)) is held
        assert (mirrored == ("stable", False)) is held


@pytest.mark.parametrize(("slot", "held", "weight"), [((0.0, 0.5), 0.0, 0.5), ((0.25, 1.0), 0.05, 0.2)])
def test_shares_come_out_as_asked(slot: tuple[float, float], held: float, weight: float) -> None:
    made = route(layer(*slot), holdout(held), weight=weight, control_weight=weight)
    arms = [met(unit, made) for unit in USERS]
    share = (slot[1] - slot[0]) * (1 - held) * weight
    tolerance = 5 * (share * (1 - share) / len(USERS)) ** 0.5
    for arm in ("candidate", "matched_control"):
        assert abs(arms.count(arm) / len(USERS) - share) < tolerance


def test_a_slot_tells_nothing_of_the_arm_nor_of_another_layer() -> None:
    inside = [unit for unit in USERS if takes_part([layer(0.0, 0.5)], unit)]
    tolerance = 5 * (0.25 / len(inside)) ** 0.5
    candidates = sum(bucket("salt", unit) < 0.5 for unit in inside)
    elsewhere = sum(takes_part([layer(0.0, 0.5, salt="another")], unit) for unit in inside)
    assert abs(candidates / len(inside) - 0.5) < tolerance
    assert abs(elsewhere / len(inside) - 0.5) < tolerance


def table(rollout: RolloutRoute | None) -> RoutingTable:
    releases = {
        f"sha256:{number}": CompiledRelease(
            digest=f"sha256:{number}",
            feature="f",
            number=number,
            prompt=PromptContent(messages=[PromptMessage(role="user", content="x")], variables={}),
            model=ModelContent(provider="openai", model="m"),
        )
        for number in (1, 2)
    }
    routes = [Route(feature="f", stable="sha256:1", rollout=rollout)]
    return RoutingTable(Snapshot(revision=1, environment="e", published_at_ms=0, routes=routes, releases=releases))


def test_the_routing_table_decides_as_the_rule_says() -> None:
    made = route(layer(0.3, 0.6), holdout(0.25))
    routing = table(made)
    for unit in [*USERS[:500], *USERS[:500]]:
        assert routing.decide("f", unit).arm == met(unit, made)


def test_a_session_is_randomised_only_where_the_plan_falls_back_and_no_user_is_named() -> None:
    falling_back = table(route(fallback="session", weight=1.0))
    decision = falling_back.decide("f", "", "s-1")
    assert (decision.arm, decision.unit) == ("candidate", session_unit("s-1"))
    assert falling_back.decide("f", "", "s-1") is decision
    assert falling_back.decide("f", "ann", "s-1").unit == "ann"
    assert falling_back.decide("f", "").arm == "stable"
    strict = table(route(weight=1.0)).decide("f", "", "s-1")
    assert (strict.arm, strict.unit) == ("stable", "")


@given(units, units)
def test_no_users_key_is_taken_for_a_session(user: str, session: str) -> None:
    routing = table(route(fallback="session", weight=1.0))
    of_session = routing.decide("f", "", session)
    for key in (user, session, session_unit(session)):
        of_user = routing.decide("f", key)
        assert of_user.unit != of_session.unit
        assert (of_user.arm == "stable") is key.startswith(RESERVED)
