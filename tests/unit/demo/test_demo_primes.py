from __future__ import annotations

import csv
import os
import re
from pathlib import Path

import pytest

from trimtab.demo.primes import correct, is_prime, says_prime
from trimtab.events import Generation

RECORDINGS = Path(os.environ.get("TRIMTAB_DATA", "no recordings")) / "llmdrift" / "PRIME_FULL_EVAL.csv"
PUBLISHED = {"gpt-4-0314": 84.0, "gpt-4-0613": 51.1, "gpt-3.5-turbo-0301": 49.6, "gpt-3.5-turbo-0613": 76.2}


def generation(question: str, answer: str) -> Generation:
    return Generation(
        id="gen_1",
        at_ms=0,
        feature="f",
        environment="e",
        release="r",
        messages=[{"role": "user", "content": question}],
        output=answer,
    )


@pytest.mark.parametrize(
    ("answer", "prime"),
    [("[Yes]", True), ("Step 1 ... therefore no.", False), ("No... in fact YES", True), ("I notice nothing", None)],
)
def test_an_answer_is_read_as_whole_words(answer: str, prime: bool | None) -> None:  # noqa: FBT001 - parametrised
    assert says_prime(answer) is prime


def test_primes_are_told_by_division() -> None:
    assert [number for number in range(30) if is_prime(number)] == [2, 3, 5, 7, 11, 13, 17, 19, 23, 29]


def test_a_prompt_that_asks_for_no_number_is_not_scored() -> None:
    assert correct(generation("How are you?", "[Yes]")) is None
    assert correct(generation("Is 17077 a prime number?", "[Yes]")) is True
    assert correct(generation("Is 17077 a prime number?", "no idea")) is False


@pytest.mark.skipif(not RECORDINGS.exists(), reason="TRIMTAB_DATA does not name a folder with the LLMDrift files")
@pytest.mark.parametrize(("model", "accuracy"), PUBLISHED.items())
def test_the_scorer_gives_the_published_accuracies(model: str, accuracy: float) -> None:
    with RECORDINGS.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["model"].endswith(model)]
    assert len(rows) == 1000
    right = [correct(generation(row["query"], row["answer"])) for row in rows]
    assert 100 * sum(map(bool, right)) / len(right) == pytest.approx(accuracy)
    truth = [is_prime(int(re.findall(r"\d+", row["query"])[0])) == (row["ref_answer"].lower() == "yes") for row in rows]
    assert all(truth)
