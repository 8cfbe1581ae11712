from __future__ import annotations

import json
import xml.etree.ElementTree as ET

import msgspec

from trimtab.behaviour import (
    BehaviourDiff,
    Expected,
    Output,
    Pair,
    diff,
    html_of,
    html_page_of,
    markdown_of,
    summary_of,
)


def found(text: str = "<b>|x|</b>") -> BehaviourDiff:
    said = [json.dumps({"n": number, text: "x"}) for number in range(60)]
    return diff(
        [
            Pair(
                item=f"{text}-{number}",
                old=Output(text=one, score=1.0, latency_ms=100.0 + number),
                new=Output(text=f"```\n{one}\n```", score=number % 4 > 0, latency_ms=2000.0 + number),
                again=Output(text=one, score=1.0, latency_ms=101.0 + number),
                slices={"tier": "free" if number < 30 else "paid"},
            )
            for number, one in enumerate(said)
        ],
        old_name="gpt-old",
        new_name="gpt-new",
    )


def test_a_summary_says_what_changed_why_and_whom_it_hurts() -> None:
    [headline, cause, flips, slices] = summary_of(found())
    assert headline.startswith("60 items compared, gpt-old with gpt-new: ")
    assert headline.endswith("; 4 may break what reads the answers.")
    assert cause == (
        "The code fence explains 60 of 60 lost answers (`json.parses`); with adapter [strip_code_fence] "
        "0% → 100% of the new ones are JSON as it stands."
    )
    assert flips == (
        "Right answers: 100.0% → 75.0% (-25.0 points); 15 of 60 were right and are wrong now (25.0%, 95 % 14.7% to "
        "37.9%); asked again, the old one flips 0 itself, so +25.0 points (+6.5 to +39.7) are the new one's doing."
    )
    assert slices == "Most of right answers lost: tier=free 26.7% of 30, tier=paid 23.3% of 30."


def test_no_change_is_said_plainly() -> None:
    same = diff([Pair(item="1", old=Output(text="a"), new=Output(text="a"))])
    sentence, ruled_out = summary_of(same)
    assert ruled_out.startswith("What programs read is worse in at most 73.0 % of the answers (95 %; `")
    assert sentence.endswith(": no change found (one in fewer than 8 items is not told from chance).")
    assert "| detector |" not in markdown_of(same)


def test_a_fall_that_is_not_sure_is_not_called_none() -> None:
    pair = Pair(item="1", old=Output(text="a", score=1.0), new=Output(text="b", score=0.0))
    told = " ".join(summary_of(diff([pair])))
    assert "Right answers: 100.0% → 0.0%" in told
    assert "The average hides these flips: that it fell is not sure." in told


def test_a_cause_is_told_in_whole_words() -> None:
    pairs = [Pair(item=str(n), old=Output(text='{"a": 1}'), new=Output(text='```\n{"a": 1}\n```')) for n in range(20)]
    schema = {"type": "object", "required": ["a"]}
    assert any(
        one.text.endswith("0% → 100% of the new ones satisfy the schema")
        for one in diff(pairs, expected=Expected(schema=schema)).causes
    )


def test_a_page_is_whole_and_its_names_are_no_markup() -> None:
    page = html_page_of(msgspec.structs.replace(found(), old_name="<i>old"))
    assert page.startswith("<!doctype html>")
    assert "<i>old" not in page


def test_what_no_detector_names_is_an_alarm_only() -> None:
    pairs = [
        Pair(item=str(n), old=Output(text=f"red apple {n:04}"), new=Output(text=f"big lemon {n:04}"))
        for n in range(200)
    ]
    sentences = summary_of(diff(pairs))
    assert sentences[-1].startswith("Texts differ in words, length or format in a way that no detector names")


def test_markdown_is_a_table_whatever_outputs_hold() -> None:
    page = markdown_of(found())
    rows = [line for line in page.splitlines() if line.startswith("|")]
    assert len(rows) > 5
    assert {row.replace("\\|", "").count("|") for row in rows} == {9}
    assert "<b>" not in page
    assert "  output: [strip_code_fence]" in page


def test_html_is_well_formed_whatever_outputs_hold() -> None:
    section = ET.fromstring(html_of(found()))
    assert section.attrib["class"] == "behaviour-diff"
    assert len(section.findall("table/tbody/tr")) >= 5
    assert not section.findall(".//b")
