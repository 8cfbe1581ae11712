"""When a judge may decide, and what is said of it."""

from __future__ import annotations

from typing import Any

import pytest

from trimtab.evals.judge_rule import FEWEST_LABELS, Agreed, judge_refusal, judge_words


def agreed(on: str, count: int, labels: int, alpha: float | None = 0.4) -> Agreed:
    return Agreed(on=on, agreed=count, labels=labels, alpha=alpha)


@pytest.mark.parametrize(
    ("old", "new", "few_may", "said"),
    [
        ((90, 100), (86, 100), False, ""),
        ((90, 100), (85, 100), False, ""),
        ((27, 30), (30, 30), False, ""),
        ((90, 100), (84, 100), False, "more than 5 points less, which so few labels may show by chance"),
        ((900, 1000), (600, 1000), False, "-30.0 points [-33.5, -26.4], more than 5 points less"),
        ((90, 100), (84, 100), True, "more than 5 points less"),
        ((90, 100), (29, 29), False, "people labelled 29 answers of new that it judged, and it takes 30: 1 more"),
        ((0, 0), (29, 29), False, "people labelled 0 answers of old that it judged, and it takes 30: 30 more"),
        ((90, 100), (10, 10), True, ""),
        ((0, 0), (0, 0), True, ""),
        ((9, 10), (1, 10), True, "more than 5 points less"),
    ],
)
def test_it_takes_labels_of_both_models_and_most_of_the_agreement(
    old: tuple[int, int], new: tuple[int, int], few_may: Any, said: str
) -> None:
    refusal = judge_refusal(agreed("old", *old), agreed("new", *new), few_may=few_may)
    assert said in refusal
    assert bool(refusal) == bool(said)


@pytest.mark.parametrize(
    ("old", "new", "few_may", "said"),
    [
        ((100, 0.0), (100, -0.02), False, "no more than chance would (Krippendorff's alpha 0.00): so does a judge"),
        ((100, -0.1), (100, None), True, "no more than chance would (Krippendorff's alpha -0.10)"),
        ((100, None), (100, None), False, "call all labelled answers alike: label some of another kind too"),
        ((100, None), (100, None), True, ""),
        ((100, 0.1), (100, -0.02), False, ""),
        ((100, 0.1), (100, None), False, ""),
        ((29, -0.1), (29, -0.1), True, ""),
    ],
)
def test_a_judge_that_says_the_same_of_every_answer_may_not_decide(
    old: tuple[int, float | None], new: tuple[int, float | None], few_may: Any, said: str
) -> None:
    before, after = (agreed(name, labels - 3, labels, alpha) for name, (labels, alpha) in (("old", old), ("new", new)))
    refusal = judge_refusal(before, after, few_may=few_may)
    assert said in refusal
    assert bool(refusal) == bool(said)


def test_a_loss_that_chance_does_not_explain_is_told_without_asking_for_more_labels() -> None:
    refusal = judge_refusal(agreed("old", 900, 1000), agreed("new", 600, 1000))
    assert refusal.endswith("points less")


def test_agreement_is_never_told_without_its_interval() -> None:
    old, new = agreed("old", 27, FEWEST_LABELS), agreed("new", 26, FEWEST_LABELS)
    assert judge_words(old, new) == (
        "agrees with people on 86.7 % [69.3, 96.2] of 30 answers of new and on 90.0 % [73.5, 97.9] of 30 answers "
        "of old: -3.3 points [-20.9, +14.2]"
    )
    assert judge_words(old, old) == "agrees with people on 90.0 % [73.5, 97.9] of 30 answers of old"
    none = agreed("new", 0, 0)
    assert judge_words(none, none) == "was not held against people on answers of new"
    assert judge_words(old, none).endswith(" of old, and was not held against them on answers of new")
