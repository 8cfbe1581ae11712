"""Items: read, told apart, drawn, split, stored."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.core.errors import InputError, IntegrityError, NotFoundError, SourceError
from trimtab.evals.datasets import Item, Shape, in_split, shape
from trimtab.evals.datasets.files import ItemFiles
from trimtab.evals.datasets.from_traffic import items_of
from trimtab.evals.datasets.near_duplicates import near_duplicates
from trimtab.evals.datasets.promptfoo_tests import read_promptfoo
from trimtab.evals.datasets.records import read_csv, read_json, read_jsonl
from trimtab.evals.datasets.redacting import redacted
from trimtab.evals.datasets.shaping import split_share
from trimtab.evals.datasets.summary import summarise
from trimtab.events import Generation

if TYPE_CHECKING:
    from pathlib import Path


def item(question: str, **more: Any) -> Item:
    messages = [{"role": "user", "content": question}]
    return Item(**{"id": more.pop("id", question), "messages": messages, **more})


def test_json_lines_become_items() -> None:
    text = (
        '{"input": "2+2?", "expected": 4, "at": "2026-01-31T12:00:00Z"}\n\n{"shop": "Acme", "slices": {"lang": "de"}}\n'
    )
    first, second = read_jsonl(text, "a.jsonl")
    assert (first.question, first.expected, first.at_ms, first.source) == ("2+2?", 4, 1769860800000, "a.jsonl:1")
    assert (second.variables, second.slices, second.source) == ({"shop": "Acme"}, {"lang": "de"}, "a.jsonl:3")
    assert first.id == first.key != second.key


def test_csv_becomes_items() -> None:
    text = 'question,answer,slice:lang,city\n"Wo, bitte?",da,de,Ulm\nWhere?,,en,\n'
    first, second = read_csv(text, "a.csv", rename={"question": "input", "answer": "expected"})
    assert (first.question, first.expected, first.slices, first.variables) == (
        "Wo, bitte?",
        "da",
        {"lang": "de"},
        {"city": "Ulm"},
    )
    assert (second.expected, second.variables) == (None, {"city": ""})


def test_a_json_list_becomes_items() -> None:
    (first, second) = read_json('[{"input": "a"}, {"q": "b"}]', "a.json", rename={"q": "input"})
    assert (first.question, second.question, second.source) == ("a", "b", "a.json:2")
    for bad in ("{", "{}", "[1]"):
        with pytest.raises(SourceError):
            read_json(bad, "a.json")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[]", "an item is a JSON object"),
        ("{", "this is not JSON"),
        ('{"expected": 1}', "it asks nothing"),
        ('{"variables": {"a": 1}, "b": 2}', "`b` is not a known field"),
        ('{"input": "x", "at": "yesterday"}', "this item is wrong"),
        ('{"input": "x", "at": 1.5}', "`at` is a time such as"),
        ('{"input": "x", "group": 5}', "Expected `str`, got `int`"),
    ],
)
def test_what_is_no_item_is_refused_with_its_line(text: str, said: str) -> None:
    with pytest.raises(SourceError, match=said) as caught:
        read_jsonl('{"input": "fine"}\n' + text, "a.jsonl")
    assert caught.value.param == "a.jsonl:2"


def test_csv_rows_of_another_length_are_refused() -> None:
    with pytest.raises(SourceError, match="not as many cells"):
        read_csv("a,b\n1\n", "a.csv")


def test_repetitions_are_left_out_and_contradictions_told() -> None:
    shaped = shape([item("a", expected=1), item("a", id="x", expected=1), item("a", id="y", expected=2)], Shape())
    assert [one.id for one in shaped.items] == ["a"]
    assert (shaped.repeated, shaped.contradicting) == (2, 1)
    with pytest.raises(InputError, match="called `same`"):
        shape([item("a", id="same"), item("b", id="same")], Shape())


def test_near_repetitions_are_found() -> None:
    long = "please tell me where the order with the number five is right now and when it will come"
    texts = [long, long.upper() + "!", long.replace("five", "six"), "something else entirely"]
    assert near_duplicates(texts, threshold=0.9) == [None, 0, None, None]
    assert near_duplicates(texts, threshold=0.6) == [None, 0, 0, None]


@given(
    texts=st.lists(st.lists(st.sampled_from("abcd"), min_size=1, max_size=8).map(" ".join), max_size=12),
    threshold=st.floats(0.2, 1.0),
)
def test_near_repetitions_are_those_of_comparing_everything(texts: list[str], threshold: float) -> None:
    def grams(text: str) -> set[str]:
        words = text.split()
        return {" ".join(words[i : i + 3]) for i in range(len(words) - 2)} or {text}

    expected: list[int | None] = []
    for index, text in enumerate(texts):
        alike = [
            other
            for other in range(index)
            if expected[other] is None
            and len(grams(text) & grams(texts[other])) / len(grams(text) | grams(texts[other])) >= threshold - 1e-9
        ]
        expected.append(alike[0] if alike else None)
    assert near_duplicates(texts, threshold=threshold) == expected


@given(sizes=st.dictionaries(st.sampled_from("abcde"), st.integers(1, 40), min_size=1), size=st.integers(1, 120))
def test_a_sample_keeps_the_shares_of_its_slices(sizes: dict[str, int], size: int) -> None:
    items = [item(f"{name}{n}", slices={"kind": name}) for name, count in sizes.items() for n in range(count)]
    drawn = shape(items, Shape(size=size, by=("kind",))).items
    wanted = min(size, len(items))
    assert len(drawn) == wanted
    for name, count in sizes.items():
        got = sum(one.slices["kind"] == name for one in drawn)
        if wanted >= len(sizes):
            assert got >= 1
        assert abs(got - wanted * count / len(items)) < len(sizes) + 1


def test_a_sample_does_not_depend_on_the_order_of_the_file() -> None:
    items = [item(f"question {n}") for n in range(60)]
    shuffled = random.Random(1).sample(items, len(items))
    wanted = Shape(size=20)
    assert {one.id for one in shape(items, wanted).items} == {one.id for one in shape(shuffled, wanted).items}


@given(groups=st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=40), heldout=st.floats(0, 1))
def test_a_split_is_a_partition_that_keeps_groups_together(groups: list[str], heldout: float) -> None:
    items = [item(str(n), group=group) for n, group in enumerate(groups)]
    for one in items:
        sides = [in_split(one, "train", heldout=heldout), in_split(one, "heldout", heldout=heldout)]
        assert sum(sides) == 1
        assert in_split(one, "all")
        assert {split_share(other) for other in items if other.group == one.group} == {split_share(one)}


def test_the_split_has_about_its_share() -> None:
    held = sum(in_split(item(f"q{n}"), "heldout", heldout=0.3) for n in range(2000))
    assert 540 < held < 660


def test_what_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(InputError, match="no item has a slice `lang`"):
        shape([item("a", slices={"kind": "x"})], Shape(size=1, by=("lang",)))
    with pytest.raises(InputError, match="at least one"):
        shape([item("a")], Shape(size=0))
    with pytest.raises(InputError, match="similarity"):
        shape([item("a")], Shape(near=1.5))


def test_items_are_what_was_stored(tmp_path: Path) -> None:
    files = ItemFiles(tmp_path / "datasets")
    items = [item("a", expected={"b": [1]}), item("c")]
    digest = files.put(items)
    assert files.put(items) == digest
    assert files.get(digest) == items
    (path,) = (tmp_path / "datasets").iterdir()
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(IntegrityError, match="not what was written"):
        files.get(digest)
    path.unlink()
    with pytest.raises(NotFoundError, match="not in this data directory"):
        files.get(digest)


def test_traffic_becomes_items_without_the_prompt_and_without_names() -> None:
    call = Generation(
        id="gen_1",
        at_ms=5,
        feature="f",
        environment="production",
        release="r1",
        release_number=3,
        unit="ada@example.org",
        messages=[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Where?"}],
        variables={"shop": "Acme"},
        output="Here.",
        attributes={"lang": "en"},
    )
    silent = Generation(id="gen_2", at_ms=5, feature="f", environment="production", release="r1")
    (found,), empty = items_of([call, silent], own_messages={"r1": 1}.get, signals={"gen_1": 0.0})
    assert empty == 1
    assert found.messages == [{"role": "user", "content": "Where?"}]
    assert (found.reference, found.at_ms, found.source) == ("Here.", 5, "gen_1")
    assert found.slices == {"lang": "en", "release": "f#3", "feedback": "0"}
    assert found.group
    assert "ada" not in found.group
    unknown, _ = items_of([call], own_messages=lambda _: None)
    assert unknown[0].messages == found.messages


def test_the_hook_sees_content_and_nothing_passes_by_it() -> None:
    one = item("I am Ada", reference="Hello Ada", expected="x", slices={"lang": "en"})

    def hook(content: dict[str, Any]) -> dict[str, Any]:
        return {"messages": [{"role": "user", "content": "I am X"}], "attributes": content["attributes"]}

    kept = redacted(one, hook)
    assert (kept.question, kept.reference, kept.slices, kept.expected) == ("I am X", "", {"lang": "en"}, "x")
    with pytest.raises(InputError, match="failed with ZeroDivisionError; nothing was stored") as caught:
        redacted(one, lambda content: {"messages": 1 / 0})
    assert "Ada" not in caught.value.message


PROMPTFOO = """\
prompts: ["Answer {{question}}"]
providers: [openai:gpt-4o]
defaultTest:
  assert: [{type: latency, threshold: 900}]
tests:
  - vars: {question: "2+2?"}
    metadata: {kind: sums}
    assert:
      - {type: contains, value: "4"}
      - {type: javascript, value: "output.length < 9"}
      - {type: llm-rubric, value: friendly}
  - vars: {question: "3+3?"}
    assert: [{type: not-icontains, value: seven}]
"""


def test_promptfoo_tests_become_items_with_checks(tmp_path: Path) -> None:
    path = tmp_path / "promptfooconfig.yaml"
    path.write_text(PROMPTFOO)
    (first, second), notes = read_promptfoo(path)
    assert first.variables == {"question": "2+2?"}
    assert first.slices == {"kind": "sums"}
    assert [check["type"] for check in first.checks] == ["latency", "contains"]
    assert second.checks[1] == {"type": "contains", "values": ["seven"], "ignoreCase": True, "negate": True}
    assert notes == [
        "`javascript` has no counterpart here (1 left out)",
        "`llm-rubric` needs a judge: name one (1 left out)",
    ]
    (first, _), notes = read_promptfoo(path, judge="openai/gpt-4o")
    assert [check["type"] for check in first.checks] == ["latency", "contains", "judge"]


def test_promptfoo_tests_may_lie_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "promptfooconfig.yaml"
    path.write_text('prompts: ["{{q}}"]\ntests: file://tests.csv\n')
    (tmp_path / "tests.csv").write_text("q,__expected\n2+2?,4\n")
    (only,), _ = read_promptfoo(path)
    assert (only.variables, only.expected) == ({"q": "2+2?"}, "4")


def test_a_summary_tells_age_and_slices() -> None:
    day = 86_400_000
    items = [item(f"q{n}", at_ms=day * n, slices={"lang": "de" if n % 3 else "en"}) for n in range(1, 10)]
    summary = summarise([*items, item("old")], heldout=0.5, now_ms=10 * day)
    assert (summary.items, summary.dated, summary.newest_days, summary.oldest_days) == (10, 9, 1.0, 9.0)
    assert summary.slices == {"lang": {"de": 6, "en": 3}}
    assert summary.train + summary.heldout == 10
    assert "age: newest 1 day, median 5, oldest 9; 1 of unknown age" in summary.lines()
