from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING

import msgspec
import pytest
from benchmarks.behaviour.null import flags_by_chance, swapped

from trimtab.behaviour import BehaviourDiff, Expected, Output, Pair, adapt, diff
from trimtab.behaviour.behaviour_diff import judged
from trimtab.behaviour.columns import columns_of
from trimtab.core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

ORDERS = [json.dumps({"order": f"A-{number}", "late": number % 3 == 0}) for number in range(200)]


def pairs(
    change: Callable[[str, int], str], *, count: int = 100, again: Callable[[str, int], str] | None = None
) -> list[Pair]:
    return [
        Pair(
            item=f"item-{number}",
            old=Output(text=ORDERS[number]),
            new=Output(text=change(ORDERS[number], number)),
            again=Output(text=again(ORDERS[number], number)) if again else None,
        )
        for number in range(count)
    ]


def flagged(found: BehaviourDiff) -> set[str]:
    return {one.detector for one in found.flags}


def test_outputs_that_are_the_same_flag_nothing() -> None:
    found = diff(pairs(lambda text, _: text))
    assert not found.changed
    assert [*found.findings, *found.slices, *found.causes] == []
    assert (found.pairs, found.replayed, found.flips) == (100, False, None)


def test_a_code_fence_is_found_blamed_and_mended_by_the_proposed_adapter() -> None:
    given = pairs(lambda text, number: f"```json\n{text}\n```" if number % 2 else text)
    found = diff(given)
    assert found.flags[0].severity == "breaks"
    assert {"json.parses", "json.wrapped", "fence.first", "fence.whole"} <= flagged(found)
    [cause] = found.causes
    assert (cause.detector, cause.cause, cause.steps) == ("json.parses", "the code fence", ("strip_code_fence",))
    assert (cause.explained, cause.lost, cause.before, cause.after, cause.broken) == (50, 50, 0.5, 1.0, 0)
    assert cause.text == (
        "the code fence explains 50 of 50 lost answers (`json.parses`); with adapter [strip_code_fence] "
        "50% → 100% of the new ones are JSON as it stands"
    )
    assert not diff([adapt(pair, cause.steps) for pair in given]).changed


@pytest.mark.parametrize(
    ("wrap", "cause", "steps"),
    [
        ("Sure! Here you go:\n{}", "the preamble", ("drop_preamble",)),
        ("{}\n\nLet me know if you need more.", "the closer", ("drop_closer",)),
        ("The order, {}, as JSON.", "the text around the JSON", ("extract_json",)),
        (
            "I found it.\n```json\n{}\n```\nIt is there.",
            "the code fence and the text around it",
            ("extract_code_block",),
        ),
    ],
)
def test_the_mildest_adapter_that_brings_most_back_is_proposed(wrap: str, cause: str, steps: tuple[str, ...]) -> None:
    [found] = diff(pairs(lambda text, _: wrap.replace("{}", text))).causes
    assert (found.cause, found.steps, found.after) == (cause, steps, 1.0)
    assert found.adapter.output == list(steps)


def test_what_no_adapter_brings_back_is_blamed_on_nothing() -> None:
    found = diff(pairs(lambda text, _: text[:-1]))
    assert "json.parses" in flagged(found)
    assert found.causes == ()


def test_the_features_own_parser_and_schema_are_asked() -> None:
    schema = {"type": "object", "properties": {"order": {"type": "string"}, "late": {}}, "required": ["order"]}
    expected = Expected(schema=schema, parser=lambda text: json.loads(text)["order"])
    found = diff(pairs(lambda text, _: text.replace('"order"', '"id"')), expected=expected)
    assert {"parser.reads", "json.schema", "json.unknown_keys"} <= flagged(found)
    assert "json.parses" not in flagged(found)
    with pytest.raises(InputError, match="no JSON Schema"):
        diff(pairs(lambda text, _: text), expected=Expected(schema={"type": "strange"}))


@pytest.mark.parametrize(
    ("change", "detector"),
    [
        (lambda text, _: text.replace("order", "id"), "json.keys"),
        (lambda text, _: json.dumps(dict(reversed(json.loads(text).items()))), "json.key_order"),
        (lambda text, _: text.replace("false", '"no"').replace("true", '"no"'), "json.types"),
        (lambda text, _: text.replace("false", "null"), "json.null"),
        (lambda text, number: text.replace(f'"A-{number}"', f'"{number}"'), "json.number_as_string"),
        (lambda text, _: json.dumps(json.loads(text), indent=2), "json.indented"),
        (lambda text, _: f"{text}\nAnything else?", "json.trailing"),
        (lambda text, _: "", "answer.empty"),
        (lambda text, _: "I'm sorry, but I can't help with that.", "answer.refusal"),
    ],
)
def test_what_breaks_readers_is_named(change: Callable[[str, int], str], detector: str) -> None:
    assert detector in flagged(diff(pairs(change)))


LEVELS = ["low", "high", "medium"]


@pytest.mark.parametrize(
    ("change", "detector", "better"),
    [
        (lambda text, _: text.replace("order", "id"), "json.keys", False),
        (lambda text, _: text.replace("order", "ZZZ"), "json.keys", False),
        (lambda text, number: text.replace("A-", "low") if number % 5 else text, "json.number_as_string", None),
        (lambda text, _: f"```\n{text}\n```", "json.parses", False),
        (lambda _, number: json.dumps({"level": LEVELS[number % 3].upper()}), "json.enum_case", False),
        (lambda _, number: json.dumps({"level": LEVELS[number % 2]}), "json.enum_case", None),
    ],
)
def test_a_change_of_form_is_for_the_worse_whichever_form_comes_first(
    change: Callable[[str, int], str],
    detector: str,
    better: bool | None,  # noqa: FBT001
) -> None:
    given = [
        Pair(
            item=pair.item,
            old=Output(text=json.dumps({"level": LEVELS[number % 3]})) if detector == "json.enum_case" else pair.old,
            new=pair.new,
        )
        for number, pair in enumerate(pairs(change))
    ]
    found = {one.detector: one.better for one in diff(given).flags}
    assert found.get(detector) is better
    assert detector in found or better is None


def test_fewer_refusals_are_no_improvement_for_sure() -> None:
    refusal = Output(text="I'm sorry, but I can't help with that.")
    more = diff([Pair(item=str(n), old=Output(text="Here."), new=refusal) for n in range(40)])
    fewer = diff([Pair(item=str(n), old=refusal, new=Output(text="Here.")) for n in range(40)])
    assert {one.detector: one.better for one in more.flags}["answer.refusal"] is False
    assert {one.detector: one.better for one in fewer.flags}["answer.refusal"] is None


def test_calling_another_tool_is_found_without_knowing_the_tools() -> None:
    def call(name: str) -> Output:
        return Output(tool_calls=[{"function": {"name": name, "arguments": '{"n": 1}'}}])

    given = [Pair(item=str(n), old=call("find"), new=call("find" if n % 2 else "search")) for n in range(60)]
    assert {"tool.calls.find", "tool.calls.search"} <= flagged(diff(given))
    assert "tool.unknown" in flagged(diff(given, expected=Expected(tools=frozenset({"find"}))))


def test_the_old_one_asked_again_tells_what_differs_by_itself() -> None:
    source = random.Random(1)

    def noisy(text: str, _: int) -> str:
        return text.replace("A-", "B-") if source.random() < 0.3 else text

    same = diff(pairs(noisy, count=200, again=noisy))
    assert same.replayed
    assert not {one for one in flagged(same) if one.startswith("same.")}
    other = diff(pairs(lambda text, _: text.replace("A-", "C-"), count=200, again=noisy))
    assert {"same.text", "same.json"} <= flagged(other)


def scored(*rights: tuple[float, float, float | None]) -> list[Pair]:
    return [
        Pair(
            item=str(number),
            old=Output(text="x", score=old),
            new=Output(text="x", score=new),
            again=None if again is None else Output(text="x", score=again),
            slices={"language": "de" if number % 2 else "en"},
        )
        for number, (old, new, again) in enumerate(rights)
    ]


def test_an_improvement_that_hides_flips_says_so() -> None:
    flips = diff(scored(*[(0.0, 1.0, None)] * 60, *[(1.0, 0.0, None)] * 20, *[(1.0, 1.0, None)] * 20)).flips
    assert flips is not None
    assert (flips.negative, flips.positive, flips.gain, flips.hidden) == (20, 60, 0.4, True)
    assert flips.rate.low == pytest.approx(0.1267, abs=1e-4)  # 20 of 100, Clopper and Pearson
    assert flips.rate.high == pytest.approx(0.2918, abs=1e-4)
    assert {one.slice for one in flips.slices} == {"language=de", "language=en"}
    assert flips.items == tuple(str(number) for number in range(60, 70))


def test_flips_that_the_old_one_makes_by_itself_are_not_the_new_ones_doing() -> None:
    noise = [(1.0, 0.0, 1.0)] * 15 + [(1.0, 1.0, 0.0)] * 15 + [(1.0, 1.0, 1.0)] * 70 + [(0.0, 1.0, 1.0)] * 10
    flips = diff(scored(*noise)).flips
    assert flips is not None
    assert (flips.negative, flips.again_negative, flips.excess, flips.hidden) == (15, 15, 0.0, False)
    assert flips.excess_p == 1.0
    worse = [(1.0, 0.0, 1.0)] * 15 + [(1.0, 1.0, 0.0)] * 1 + [(1.0, 1.0, 1.0)] * 70 + [(0.0, 1.0, 0.0)] * 20
    flips = diff(scored(*worse)).flips
    assert flips is not None
    assert flips.excess == pytest.approx(14 / 106)
    assert flips.excess_interval is not None
    assert 0.0 < flips.excess_interval.low < 14 / 106 < flips.excess_interval.high
    assert flips.excess_p == pytest.approx(2 * 17 / 2**16)
    assert flips.hidden


def test_changes_that_cancel_out_are_found_in_slices() -> None:
    def fenced(text: str) -> str:
        return f"```\n{text}\n```"

    given = [
        Pair(
            item=str(number),
            old=Output(text=fenced(text) if number % 2 else text),
            new=Output(text=text if number % 2 else fenced(text)),
            slices={"language": "de" if number % 2 else "en"},
        )
        for number, text in enumerate(ORDERS)
    ]
    found = diff(given)
    assert "fence.first" not in flagged(found)
    slices = {(one.slice, one.detector): one.effect for one in found.slices}
    assert slices["language=en", "fence.first"] == 1.0
    assert slices["language=de", "fence.first"] == -1.0


def test_refusals_are_calibrated_where_some_are_labelled() -> None:
    lecture, refusal, answer = "It is important to be kind.", "I cannot help with that.", "Here is how."

    def outputs(said: list[str], refused: list[bool]) -> list[Output]:
        return [Output(text=text, refused=label) for text, label in zip(said, refused, strict=True)]

    old = outputs([lecture] * 20 + [refusal] * 20 + [answer] * 60, [True] * 40 + [False] * 60)
    new = outputs([refusal] * 40 + [answer] * 60, [True] * 40 + [False] * 60)
    found = diff(Pair(item=str(n), old=a, new=b) for n, (a, b) in enumerate(zip(old, new, strict=True)))
    assert found.refusals is not None
    assert (found.refusals.old.detected, found.refusals.old.found) == (0.2, 0.5)
    assert found.refusals.old.corrected == pytest.approx(0.4)
    assert found.refusals.change == pytest.approx(0.0)


def test_what_too_few_items_show_is_a_hint() -> None:
    found = diff(pairs(lambda text, number: f"```\n{text}\n```" if number < 4 else text, count=12))
    assert not found.flags
    assert {one.detector: one.moved for one in found.hints} == {
        "fence.first": 4,
        "fence.whole": 4,
        "json.parses": 4,
        "json.wrapped": 4,
    }
    assert found.could_see == 8
    assert len(found.causes) == 1
    enough = diff(pairs(lambda text, number: text[:-1] if number < 16 else text, count=40))
    assert "json.parses" in flagged(enough)
    assert "json.parses" not in {one.detector for one in enough.hints}
    assert not diff(pairs(lambda text, number: text[:-1] if number < 1 else text, count=12)).hints


@pytest.mark.parametrize(
    ("spoilt", "mended", "count", "loss"),
    [
        (0, 0, 60, 0.0431),  # one-sided 95 %: z²/(n + z²) where nothing moved
        (0, 0, 200, 0.0133),
        (3, 0, 200, 0.0369),
        (3, 3, 200, 0.0239),
    ],
)
def test_what_breaks_readers_is_bounded_where_nothing_is_flagged(
    spoilt: int, mended: int, count: int, loss: float
) -> None:
    def one(number: int, *, old: bool) -> str:
        broken = (0 <= number < spoilt and not old) or (spoilt <= number < spoilt + mended and old)
        return ORDERS[number][:-1] if broken else ORDERS[number]

    given = [
        Pair(item=str(n), old=Output(text=one(n, old=True)), new=Output(text=one(n, old=False))) for n in range(count)
    ]
    found = diff(given)
    assert found.could_lose is not None
    assert found.could_lose.loss == pytest.approx(loss, abs=5e-5)
    assert found.could_lose.text.startswith(f"what programs read is worse in at most {100 * loss:.1f} % of the answers")


def test_what_most_is_lost_in_is_named() -> None:
    found = diff(pairs(lambda text, _: f"```\n{text}\n```"))
    assert found.could_lose is not None
    assert found.could_lose.loss == pytest.approx(1.0)
    assert found.could_lose.detector in {"fence.first", "fence.whole", "json.parses", "json.wrapped"}


def test_of_an_item_the_first_pair_counts() -> None:
    given = pairs(lambda text, _: text)
    found = diff([*given, *pairs(lambda _, __: "", count=30)])
    assert (found.pairs, found.left_out, found.changed) == (100, 30, False)


@pytest.mark.parametrize("added", ["Sure!\n", '{"\\ud800": 1}'])
def test_a_diff_survives_json(added: str) -> None:
    found = diff(pairs(lambda text, _: added if added[0] == "{" else f"{added}{text}"))
    assert found.changed
    assert msgspec.json.decode(msgspec.json.encode(found), type=BehaviourDiff) == found


def test_which_side_is_called_new_changes_signs_and_nothing_else() -> None:
    given = pairs(lambda text, number: f"Sure:\n{text}" if number % 3 else text)
    back = [Pair(item=pair.item, old=pair.new, new=pair.old) for pair in given]
    one, other = diff(given), diff(back)
    assert {(f.detector, f.adjusted_p, f.moved) for f in one.findings} == {
        (f.detector, f.adjusted_p, f.moved) for f in other.findings
    }
    effects = {f.detector: f.effect for f in other.findings if f.kind != "ratio"}
    assert all(effects[f.detector] == pytest.approx(-f.effect) for f in one.findings if f.kind != "ratio")


def test_swapping_columns_is_swapping_outputs() -> None:
    given = pairs(lambda text, number: text.replace("order", "id") if number % 2 else f"Sure:\n{text}")
    swaps = [number % 5 < 2 for number in range(100)]
    moved = [
        Pair(item=pair.item, old=pair.new, new=pair.old) if swap else pair
        for pair, swap in zip(given, swaps, strict=True)
    ]
    columns = swapped(columns_of(given, Expected()), swaps)
    assert judged(columns, moved) == judged(columns_of(moved, Expected()), moved)


def test_nothing_is_flagged_where_it_is_chance_which_output_is_the_new_one() -> None:
    source = random.Random(2)
    words = ["Sure: ", "```json\n", "", "", "I'm sorry, but I can't. ", "- a\n- b\n"]
    given = [
        Pair(
            item=str(number),
            old=Output(text=source.choice(words) + source.choice(ORDERS) * source.randint(1, 4)),
            new=Output(text=source.choice(words) + source.choice(ORDERS) * source.randint(1, 4)),
            slices={"half": "ab"[number % 2]},
        )
        for number in range(80)
    ]
    runs = list(flags_by_chance(given, runs=150, seed=3))
    assert sum(1 for flags, alarm in runs if flags or alarm) <= 3  # 1 % of 150 is 1.5; over 5 would be a broken promise


@pytest.mark.parametrize(("alpha", "code"), [(0.01, "no_pairs"), (2.0, "invalid_alpha")])
def test_what_cannot_be_compared_is_an_error(alpha: float, code: str) -> None:
    with pytest.raises(InputError) as raised:
        diff([], alpha=alpha)
    assert raised.value.code == code
