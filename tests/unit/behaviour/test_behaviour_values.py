from __future__ import annotations

import json
from typing import Any

from trimtab.behaviour import Expected, Output, Pair, diff
from trimtab.behaviour.detectors.values import value_detector, values_told
from trimtab.behaviour.reading import Reading

LABELS = ["refund", "delay", "praise"]


def readings(*outputs: Output) -> list[Reading]:
    return [Reading(output, Expected()) for output in outputs]


def labelled(label: str, number: int) -> Output:
    return Output(text=json.dumps({"label": label, "note": f"free text {number}", "urgent": number % 4 == 0}))


def test_places_with_few_values_get_a_detector_for_each_value() -> None:
    found = values_told(readings(*(labelled(LABELS[number % 3], number) for number in range(30))))
    assert [one.id for one in found] == [
        "value.json.urgent=false",
        "value.json.label=delay",
        "value.json.label=praise",
        "value.json.label=refund",
    ]
    assert values_told(readings(*(labelled(LABELS[number % 3], number) for number in range(19)))) == []
    assert values_told(readings(*(Output(text="[Yes]") for _ in range(30)))) == []  # one value tells nothing


def test_a_value_is_asked_of_where_it_stands() -> None:
    call: dict[str, Any] = {"name": "weather", "arguments": {"unit": "celsius", "days": 3}}
    cases = [
        (value_detector(("text",), "[Yes]"), Output(text=" [Yes]\n"), True),
        (value_detector(("text",), "[Yes]"), Output(text="[No]"), False),
        (value_detector(("text",), "[Yes]"), Output(text="x" * 41), None),
        (value_detector(("json", "late"), "true"), Output(text='Sure: {"late": true}'), True),
        (value_detector(("json", "late"), "true"), Output(text='{"late": "no"}'), False),
        (value_detector(("json", "late"), "true"), Output(text='{"late": 1}'), None),
        (value_detector(("tool", "weather", "unit"), "celsius"), Output(tool_calls=[call]), True),
        (value_detector(("tool", "weather", "unit"), "kelvin"), Output(tool_calls=[call, call]), False),
        (value_detector(("tool", "weather", "days"), "3"), Output(tool_calls=[call]), None),
        (value_detector(("tool", "news", "unit"), "celsius"), Output(tool_calls=[call]), None),
    ]
    for detector, output, answer in cases:
        assert detector.measure(Reading(output, Expected())) is answer, detector.id
        assert detector.rule.endswith(".")


def test_a_classifier_that_moves_to_another_label_is_found() -> None:
    pairs = [
        Pair(
            item=str(number),
            old=labelled(LABELS[number % 3], number),
            new=labelled("delay" if number % 2 else LABELS[number % 3], number),
        )
        for number in range(90)
    ]
    found = {one.detector: one.effect for one in diff(pairs).flags}
    assert found.keys() == {"value.json.label=delay", "value.json.label=refund", "value.json.label=praise"}
    assert found["value.json.label=delay"] > 0 > found["value.json.label=refund"]


def test_another_argument_is_found_without_the_old_one_asked_again() -> None:
    def call(unit: str) -> Output:
        return Output(tool_calls=[{"function": {"name": "weather", "arguments": json.dumps({"unit": unit})}}])

    pairs = [Pair(item=str(n), old=call("celsius"), new=call("kelvin" if n % 2 else "celsius")) for n in range(40)]
    assert [one.detector for one in diff(pairs).flags] == ["value.tool.weather.unit=celsius"]
