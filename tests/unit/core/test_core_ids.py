from __future__ import annotations

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.core.errors import InputError
from trimtab.core.ids import check_name, id_time_ms, new_id, short_digest


@given(st.integers(0, 2**48 - 1))
def test_an_id_is_a_uuid7_that_carries_its_time(now_ms: int) -> None:
    identifier = new_id("gen", now_ms)
    parsed = uuid.UUID(identifier.removeprefix("gen_"))
    assert (parsed.version, parsed.variant) == (7, uuid.RFC_4122)
    assert id_time_ms(identifier) == now_ms


@given(st.integers(0, 2**48 - 2))
def test_ids_sort_by_time(now_ms: int) -> None:
    assert new_id("gen", now_ms) < new_id("gen", now_ms + 1)


def test_ids_of_one_millisecond_differ() -> None:
    assert len({new_id("gen", 1) for _ in range(1000)}) == 1000


def test_the_random_part_of_ids_is_random_in_every_bit() -> None:
    tails = [int(new_id("gen", 1)[-20:], 16) for _ in range(2000)]
    seen_set, seen_clear = 0, 0
    for tail in tails:
        seen_set |= tail
        seen_clear |= ~tail
    fixed = ((1 << 80) - 1) & ~(seen_set & seen_clear)
    assert fixed == (0xF << 76) | (0b11 << 62)  # version and variant


@pytest.mark.parametrize("text", ["", "gen_", "gen_xyz", "gen_" + "0" * 31, "gen_" + "g" * 32])
def test_what_is_no_id_is_refused_with_a_hint(text: str) -> None:
    with pytest.raises(InputError) as caught:
        id_time_ms(text)
    assert caught.value.code == "malformed_id"
    assert caught.value.hint


@pytest.mark.parametrize("name", ["support-reply", "a", "a.b_c-9", "a" * 64])
def test_good_names_pass(name: str) -> None:
    assert check_name(name, what="feature") == name


@pytest.mark.parametrize("name", ["", "Support", "a b", "-a", "a/", "../x", "a" * 65, "ä"])
def test_bad_names_are_refused(name: str) -> None:
    with pytest.raises(InputError, match="cannot name a feature"):
        check_name(name, what="feature")


def test_short_digests_are_twelve_digits() -> None:
    assert short_digest("sha256:" + "ab" * 32) == "abababababab"
