"""What is told of a behavioural diff: the worst first, slices of their own, and how much was left out."""

from __future__ import annotations

import json

from trimtab.behaviour import Output, Pair, diff
from trimtab.migration.diffing import harm_words, words_of

ANSWERS = [json.dumps({"order": f"A-{number}", "late": number % 3 == 0}) for number in range(200)]


def pair(number: int, text: str) -> Pair:
    return Pair(
        item=str(number),
        old=Output(text=ANSWERS[number]),
        new=Output(text=text),
        slices={"lang": "de" if number % 8 == 0 else "en"},
    )


def test_what_shows_over_all_items_is_not_told_again_by_slices() -> None:
    found = diff([pair(n, f"Hier: {text}" if n % 8 == 0 else text) for n, text in enumerate(ANSWERS)])
    told = harm_words(found)
    assert "is JSON as it stands: 100% → 88% of 200 items (`json.parses`)" in told
    assert not [one for one in told if " where " in one]


def test_a_slice_that_is_too_small_to_show_over_all_items_is_told() -> None:
    """Gains elsewhere hide the loss."""

    def new(number: int) -> str:
        return ANSWERS[number][:-1] if number % 8 == 0 else ANSWERS[number]

    def old(number: int) -> str:
        return ANSWERS[number][:-1] if number % 8 in {1, 2} and number < 150 else ANSWERS[number]

    found = diff(
        [
            Pair(
                item=str(n),
                old=Output(text=old(n)),
                new=Output(text=new(n)),
                slices={"lang": "de" if n % 8 == 0 else "en"},
            )
            for n in range(200)
        ]
    )
    assert "is JSON as it stands where lang=de: 100% → 0% of 25 items (`json.parses`)" in harm_words(found)


def test_what_is_left_out_is_counted() -> None:
    found = diff([pair(n, f"```json\nI am sorry, I cannot help with that.\u00a0{ANSWERS[n]}") for n in range(200)])
    told = harm_words(found)
    assert told[-1] == "1 more of this kind"
    assert " ".join(words_of(found)).count("more of this kind") == 1


def test_changes_that_are_no_harm_are_named() -> None:
    [told] = words_of(diff([pair(n, json.dumps(json.loads(text), indent=4)) for n, text in enumerate(ANSWERS)]))
    assert "not known to be for the worse: `" in told
    assert "further" not in told
