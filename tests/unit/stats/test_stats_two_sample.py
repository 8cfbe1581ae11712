from __future__ import annotations

import math
import random
import subprocess
import sys

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.core.errors import InputError
from trimtab.stats.text_features import DIMENSIONS, text_features
from trimtab.stats.two_sample import TwoSampleBetting

WORDS = ("please", "your", "order", "refund", "is", "on", "its", "way", "and", "we", "will", "write", "again", "soon")


def answer(source: random.Random, *, words: float = 25, fenced: float = 0.02, lines: float = 0.1) -> str:
    count = max(1, round(words * source.lognormvariate(0, 0.4)))
    said = "".join(source.choice(WORDS) + ("\n" if source.random() < lines else " ") for _ in range(count))
    return f"```json\n{said}\n```" if source.random() < fenced else said


def look_after_every_pair(
    seed: int, users: int, *, words: float = 25, fenced: float = 0.02, alpha: float = 0.05
) -> int | None:
    """Return after how many candidate users the alarm was raised."""
    source = random.Random(seed)
    betting, met = TwoSampleBetting(), 0
    while met < users:
        if source.random() < 0.5:
            betting.add("control", text_features(answer(source)))
        else:
            met += 1
            betting.add("candidate", text_features(answer(source, words=words, fenced=fenced)))
        if betting.peak >= 1 / alpha:
            return met
    return None


def test_the_same_distribution_raises_the_alarm_in_at_most_alpha_of_the_runs_under_continuous_looks() -> None:
    runs, alpha = 150, 0.1
    alarms = sum(look_after_every_pair(seed, 40, alpha=alpha) is not None for seed in range(runs))
    assert alarms / runs <= alpha + 3 * math.sqrt(alpha * (1 - alpha) / runs)


def test_wealth_on_noise_is_one_on_average() -> None:
    """Points of any shape will do for the bound; these are far cheaper than texts, so the mean is pinned down."""
    total, runs = 0.0, 400
    for seed in range(runs):
        source = random.Random(seed)
        betting = TwoSampleBetting()
        for _ in range(20):
            for side in ("control", "candidate"):
                betting.add(side, [source.choice((-0.1, 0.0, 0.1)) for _ in range(DIMENSIONS)])
        total += min(betting.value, 50.0)
    assert total / runs == pytest.approx(1.0, abs=0.2)


@pytest.mark.parametrize(("words", "fenced"), [(45.0, 0.02), (25.0, 0.5)], ids=["longer", "fenced"])
def test_a_shift_in_length_or_format_is_found(words: float, fenced: float) -> None:
    found = [look_after_every_pair(seed, 200, words=words, fenced=fenced) for seed in range(10)]
    assert sum(one is not None for one in found) >= 9


def test_other_words_are_found() -> None:
    betting = TwoSampleBetting()
    source = random.Random(1)
    for _ in range(40):
        betting.add("control", text_features(answer(source)))
        betting.add("candidate", text_features(answer(source).replace("please", "kindly").replace("soon", "shortly")))
    assert betting.peak > 20


@given(text=st.text(max_size=400))
def test_a_point_has_a_length_of_at_most_one_whatever_the_text(text: str) -> None:
    point = text_features(text)
    assert len(point) == DIMENSIONS
    assert math.sqrt(math.fsum(x * x for x in point)) <= 1 + 1e-9


def test_a_text_has_the_same_point_in_every_process() -> None:
    """State outlives processes: a point that depended on a hash seed would make sums of them mean nothing."""
    text = "Größe 42 - done.\n```json\n{}\n```"
    program = f"from trimtab.stats.text_features import text_features; print(text_features({text!r}))"
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == str(text_features(text))
    assert text_features(text)[:3] == pytest.approx(GOLDEN[:3], abs=1e-12)
    assert text_features(text)[-3:] == pytest.approx(GOLDEN[3:], abs=1e-12)


GOLDEN: list[float] = [0.0, 0.0, -0.1767766952966369, 0.01721661077407614, 0.17474777546806308, -0.132298537251983]
"""Of version 1 of the features: other numbers are another version."""


@given(
    arrivals=st.lists(st.tuples(st.sampled_from(["control", "candidate"]), st.integers(0, 5)), max_size=80),
    cut=st.integers(0, 80),
)
def test_state_is_bounded_finite_and_goes_on_after_serialisation(arrivals: list[tuple[str, int]], cut: int) -> None:
    through, broken = TwoSampleBetting(), TwoSampleBetting()
    points = [text_features("x " * number) for number in range(6)]
    for index, (side, number) in enumerate(arrivals):
        if index == cut:
            broken = msgspec.msgpack.decode(msgspec.msgpack.encode(broken), type=TwoSampleBetting)
        through.add(side, points[number])  # type: ignore[arg-type]
        broken.add(side, points[number])  # type: ignore[arg-type]
        assert 0 < through.value < math.inf
        assert through.peak >= through.value * (1 - 1e-12)
        assert len(through.waiting) <= 8
    assert broken == through
    assert len(msgspec.msgpack.encode(through)) < 6_000


def test_one_arm_alone_proves_nothing() -> None:
    betting = TwoSampleBetting()
    for _ in range(100):
        betting.add("candidate", text_features("all alone"))
    assert betting.value == 1.0
    assert betting.pairs == 0


def test_a_point_of_another_length_is_refused() -> None:
    with pytest.raises(InputError):
        TwoSampleBetting().add("control", [0.5])
