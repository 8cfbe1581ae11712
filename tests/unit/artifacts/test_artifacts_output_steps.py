from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.artifacts.model import OutputStep
from trimtab.artifacts.output_steps import OUTPUT_STEPS, apply_output_adapters

TWO_BLOCKS = "```a\n1\n```\n```b\n2\n```"
CODE = "Here is the code.\n\n```python\nx = 1\n```\n\nIt sets x."


@pytest.mark.parametrize(
    ("text", "steps", "adapted"),
    [
        ("```json\n{}\n```", ["strip_code_fence"], "{}"),
        ("  ```\n{}```\n", ["strip_code_fence"], "{}"),
        ("Here:\n```json\n{}\n```", ["strip_code_fence"], "Here:\n```json\n{}\n```"),
        (TWO_BLOCKS, ["strip_code_fence"], TWO_BLOCKS),
        (" x \n", ["trim"], "x"),
        (" x \n", [], " x \n"),
        ("", ["strip_code_fence", "trim"], ""),
        (CODE, ["extract_code_block"], "x = 1"),
        ("```python\nx = 1\n```", ["extract_code_block"], "x = 1"),
        ("```json\n{}```", ["extract_code_block"], "{}"),
        ("```\n```", ["extract_code_block"], ""),
        (TWO_BLOCKS, ["extract_code_block"], TWO_BLOCKS),
        ("```python\nx = (1", ["extract_code_block"], "```python\nx = (1"),  # cut off: it must fail where it is read
        ("use ``` to fence", ["extract_code_block"], "use ``` to fence"),
        ('Sure: {"a": [1, {"b": 2}]} done', ["extract_json"], '{"a": [1, {"b": 2}]}'),
        ('[1] says {"a": 1}', ["extract_json"], '{"a": 1}'),
        ("The list: [1, 2].", ["extract_json"], "[1, 2]"),
        ("see [1] and [2]", ["extract_json"], "see [1] and [2]"),
        ("as shown before [1].", ["extract_json"], "as shown before [1]."),
        ('as shown [1]: ["a"]', ["extract_json"], '["a"]'),
        ("[1, 2] or [3, 4]", ["extract_json"], "[1, 2] or [3, 4]"),
        ('{"a": 1} or {"a": 2}', ["extract_json"], '{"a": 1} or {"a": 2}'),
        (' {"a": 1}\n', ["extract_json"], ' {"a": 1}\n'),
        ('Here: {"a": 1', ["extract_json"], 'Here: {"a": 1'),
        ("Here: {'a': 1}", ["extract_json"], "Here: {'a': 1}"),
        ('x {"a": NaN}', ["extract_json"], 'x {"a": NaN}'),
        ("Sure! Here is the list:\n\n- a\n- b", ["drop_preamble"], "- a\n- b"),
        ("Sure, I can do that.\nx", ["drop_preamble"], "x"),
        ("Here is the list:", ["drop_preamble"], "Here is the list:"),
        ("Surely not.\nx", ["drop_preamble"], "Surely not.\nx"),
        ("Here is a thought without an end\nx", ["drop_preamble"], "Here is a thought without an end\nx"),
        ("a\n\nLet me know if you need more!", ["drop_closer"], "a"),
        ("Let me know if you need more!", ["drop_closer"], "Let me know if you need more!"),
        ("a\nLet me know", ["drop_closer"], "a\nLet me know"),
        ("Sure:\n```json\n{}\n```\n\nHope this helps!", ["drop_closer", "drop_preamble", "strip_code_fence"], "{}"),
    ],
)
def test_output_adapters(text: str, steps: list[str], adapted: str) -> None:
    assert apply_output_adapters(text, steps) == adapted


def test_every_step_that_a_release_may_name_can_be_done() -> None:
    assert tuple(OUTPUT_STEPS) == get_args(OutputStep)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 50_000, "{" * 100_000, "[[1]," * 20_000, "9" * 100_000])
def test_text_full_of_brackets_is_left_alone(text: str) -> None:
    assert apply_output_adapters(text, ["extract_json"]) == text


@given(st.text(), st.sampled_from(sorted(OUTPUT_STEPS)))
def test_steps_take_any_text_and_only_take_away(text: str, step: str) -> None:
    assert apply_output_adapters(text, [step]) in text


@given(
    st.text(alphabet=st.sampled_from("ab {}[]\n"), max_size=40).filter(lambda text: "```" not in text),
    st.text(alphabet=st.sampled_from("ab {}\n"), max_size=20),
)
def test_a_block_comes_back_as_it_was_fenced(inside: str, around: str) -> None:
    assert apply_output_adapters(f"{around}\n```x\n{inside}\n```\n{around}", ["extract_code_block"]) == inside
