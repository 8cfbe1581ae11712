from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.behaviour.vectors import CALL, EXPECTED, OTHER, USUAL, VECTORS

from trimtab.behaviour import DETECTORS, Expected, Output
from trimtab.behaviour.columns import SAMENESS
from trimtab.behaviour.detectors.tools import calls_tool
from trimtab.behaviour.language import language_of
from trimtab.behaviour.reading import Reading, Usual
from trimtab.behaviour.usual import tools_called, usual_of

BY_ID = {one.id: one for one in DETECTORS}


@pytest.mark.parametrize(
    ("name", "output", "answer"),
    [(name, output, answer) for name, cases in VECTORS.items() for output, answer in cases],
)
def test_a_detector_says_what_its_vectors_say(name: str, output: Output, answer: float | None) -> None:
    found = BY_ID[name].measure(Reading(output, EXPECTED, USUAL))
    assert found == answer
    assert (found is None) == (answer is None)


def test_every_detector_has_vectors_for_and_against_a_rule_and_an_id_of_its_own() -> None:
    assert VECTORS.keys() == BY_ID.keys()
    assert len(BY_ID) == len(DETECTORS)
    for name, cases in VECTORS.items():
        answers = {answer for _, answer in cases}
        if BY_ID[name].kind == "share":
            assert {True, False} <= answers, name
        assert len(answers) > 1, name
        assert BY_ID[name].rule.endswith("."), name
        assert not BY_ID[name].says.endswith("."), name


@given(
    st.text(max_size=300) | st.sampled_from(["```", "{", "[", "$", "\\", "|--", "a\r\nb", "\ud800", "\x00x = 1"]),
    st.lists(
        st.dictionaries(st.sampled_from(["name", "arguments", "function"]), st.none() | st.text() | st.integers())
    ),
)
def test_no_output_upsets_a_detector(text: str, calls: list[dict[str, Any]]) -> None:
    reading = Reading(Output(text=text, tool_calls=calls), EXPECTED)
    reading.usual = usual_of([reading])
    for detector in [*DETECTORS, *map(calls_tool, tools_called([reading]))]:
        found = detector.measure(reading)
        assert found is None or isinstance(found, bool | int | float)


def outputs(*texts: str) -> list[Reading]:
    return [Reading(Output(text=text), Expected()) for text in texts]


def test_what_is_usual_does_not_depend_on_who_comes_first() -> None:
    texts = ['{"a": 1, "b": 2}', '{"b": "x", "a": 1}', '{"c": null}', "no JSON", "The cat is on the mat of the house."]
    usual = usual_of(outputs(*texts))
    assert usual == usual_of(outputs(*reversed(texts)))
    assert usual.keys == frozenset({"a", "b"})
    assert usual.order[frozenset({"a", "b"})] == ("a", "b")
    assert usual.types == {"a": "integer", "b": "integer"}
    assert usual.language == "en"
    assert usual_of([]) == Usual()


def test_tools_that_are_called_get_a_detector_each() -> None:
    given: list[list[dict[str, Any]]] = [[CALL], [CALL, OTHER], []]
    readings = [Reading(Output(tool_calls=calls), Expected()) for calls in given]
    assert tools_called(readings) == ["find", "search"]
    detector = calls_tool("search")
    assert [detector.measure(reading) for reading in readings] == [False, True, False]
    assert detector.id == "tool.calls.search"
    assert detector.rule == "There is a call of `search`."


@pytest.mark.parametrize(
    ("name", "one", "other", "same"),
    [
        ("same.text", Output(text="a\n"), Output(text="a"), True),
        ("same.text", Output(text="a"), Output(text="b"), False),
        ("same.json", Output(text='{"a": 1, "b": 2}'), Output(text='Sure: {"b": 2, "a": 1}'), True),
        ("same.json", Output(text='{"a": 1}'), Output(text='{"a": 2}'), False),
        ("same.json", Output(text="a"), Output(text='{"a": 2}'), None),
        ("same.tools", Output(tool_calls=[CALL, OTHER]), Output(tool_calls=[OTHER, CALL]), True),
        ("same.tools", Output(tool_calls=[CALL]), Output(tool_calls=[CALL, CALL]), False),
        ("same.tools", Output(), Output(), None),
        ("same.arguments", Output(tool_calls=[CALL, OTHER]), Output(tool_calls=[OTHER, CALL]), True),
        (
            "same.arguments",
            Output(tool_calls=[CALL]),
            Output(tool_calls=[{"name": "find", "arguments": {"number": 8}}]),
            False,
        ),
        ("same.arguments", Output(tool_calls=[CALL]), Output(tool_calls=[OTHER]), None),
    ],
)
def test_sameness_compares_two_outputs_of_one_item(name: str, one: Output, other: Output, same: bool | None) -> None:  # noqa: FBT001
    ask = next(ask for detector, ask in SAMENESS if detector.id == name)
    assert ask(Reading(one, Expected()), Reading(other, Expected())) is same


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("The order is on its way to you and will be there soon.", "en"),
        ("Die Bestellung ist auf dem Weg und wird bald bei Ihnen sein.", "de"),
        ("La commande est en route et sera chez vous dans les prochains jours.", "fr"),
        ("El pedido está en camino y llegará a su casa con el correo de mañana.", "es"),
        ("O pedido está a caminho e não vai demorar mais do que dois dias.", "pt"),
        ("L'ordine è in viaggio e non ci vorranno più di due giorni per la consegna.", "it"),
        ("De bestelling is onderweg en zal niet later dan morgen bij u zijn.", "nl"),
        ("Заказ уже в пути и скоро будет у вас.", "ru"),  # noqa: RUF001 - Russian
        ("注文はもうすぐ届きます。", "ja"),
        ("订单正在路上，很快就会送到您那里。", "zh"),  # noqa: RUF001 - Chinese
        ("주문이 곧 도착할 예정입니다.", "ko"),
        ("[Yes]", ""),
        ("1234567890 1234567890 1234567890", ""),
    ],
)
def test_languages_are_told_by_their_script_or_small_words(text: str, language: str) -> None:
    assert language_of(text) == language
