"""Plain prompts are a matter of speed alone: the template engine is the oracle."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import minijinja
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.artifacts.model import PromptContent, PromptMessage
from trimtab.artifacts.template import check_text, new_environment
from trimtab.core.errors import InputError
from trimtab.serving.plain_prompt import PlainPrompt, plain_prompt

PIECES = st.lists(
    st.one_of(
        st.text(alphabet="ab %s{}\n\r\t-+é#", max_size=6),
        st.sampled_from(
            ["{{ a }}", "{{b}}", "{{ a}}", "{{- a }}", "{{ a -}}", "{{ a|upper }}", "{{ true }}", "%s", "%%"]
        ),
        st.sampled_from(
            ["{# c #}", "{% raw %}{{ a }}{% endraw %}", "{% if a %}x{% endif %}", "{{ range }}", "{{ 1 }}"]
        ),
    ),
    max_size=6,
).map("".join)
VALUES = st.one_of(
    st.text(max_size=5), st.integers(), st.none(), st.booleans(), st.lists(st.text(max_size=2), max_size=2)
)


def prompt(text: str, variables: dict[str, Any] | None = None) -> PromptContent:
    return PromptContent(messages=[PromptMessage(role="user", content=text)], variables=variables or {})


@given(PIECES, st.dictionaries(st.sampled_from("abc"), VALUES))
def test_what_is_filled_in_plainly_reads_as_the_engine_would_have_it(text: str, variables: dict[str, Any]) -> None:
    engine = new_environment()
    try:
        check_text(text, message_index=0)
        engine.add_template("t", text)
    except (InputError, minijinja.TemplateError):
        return
    plain = plain_prompt(prompt(text), engine.undeclared_variables_in_str)
    filled = plain.render(variables) if plain is not None else None
    if filled is not None:
        assert filled == [{"role": "user", "content": engine.render_template("t", **variables)}]


@pytest.mark.parametrize("text", ["You serve {{ shop }}: 100 % of {{shop}}.", "no variables, 100 %s", ""])
def test_the_prompts_that_most_features_have_are_plain(text: str) -> None:
    plain = plain_prompt(prompt(text), new_environment().undeclared_variables_in_str)
    assert plain is not None
    variables = {"shop": "Acme"} if "shop" in text else {}
    assert plain.render(variables) == [
        {"role": "user", "content": text.replace("{{ shop }}", "Acme").replace("{{shop}}", "Acme")}
    ]


@pytest.mark.parametrize(
    ("schema", "variables"),
    [
        ({"type": "object", "properties": {"a": {"type": "string", "minLength": 2}}}, {"a": "x"}),
        ({"type": "object", "properties": {"a": {"enum": ["x"]}}}, {"a": "y"}),
        ({"type": "object", "properties": {"a": {"type": "integer"}}}, {"a": "1"}),
        ({"type": "object", "minProperties": 2, "properties": {}}, {"a": "1"}),
        ({"type": "object", "properties": {"a": {}}, "additionalProperties": False}, {"a": "1", "b": "2"}),
        (
            {"type": "object", "properties": {"a": {}}, "additionalProperties": {"type": "integer"}},
            {"a": "1", "b": "2"},
        ),
        ({"type": "object", "properties": {"a": {}, "b": {}}, "required": ["b"]}, {"a": "1"}),
        ({}, {"a": "\ud800"}),
        ({}, {}),
    ],
)
def test_what_a_schema_or_the_engine_must_look_at_is_left_to_them(
    schema: dict[str, Any], variables: dict[str, Any]
) -> None:
    plain = plain_prompt(prompt("{{ a }}", schema), new_environment().undeclared_variables_in_str)
    assert plain is None or plain.render(variables) is None


def two(schema: dict[str, Any] | None = None) -> PlainPrompt:
    plain = plain_prompt(prompt("{{ a }} and {{ b }}", schema), new_environment().undeclared_variables_in_str)
    assert plain is not None
    return plain


def test_texts_that_are_kept_are_found_by_every_value_and_never_shared() -> None:
    plain = two()
    first = plain.render({"a": "1", "b": "2"})
    assert first == plain.render({"b": "2", "a": "1"}) == [{"role": "user", "content": "1 and 2"}]
    assert first is not None
    first[0]["content"] = "changed by a caller"
    first.append({"role": "user", "content": "more"})
    assert plain.render({"a": "1", "b": "2"}) == [{"role": "user", "content": "1 and 2"}]
    assert plain.render({"a": "2", "b": "1"}) == [{"role": "user", "content": "2 and 1"}]


@pytest.mark.parametrize(
    "variables",
    [
        pytest.param({"a": 1, "b": "2"}, id="a number that reads the same"),
        pytest.param({"a": ["1"], "b": "2"}, id="what can be no key"),
        pytest.param({"a": "1", "c": "2"}, id="another variable"),
        pytest.param({"a": "1"}, id="too few"),
        pytest.param(defaultdict(str, {"a": "1", "c": "2"}), id="a mapping that makes up what it lacks"),
    ],
)
def test_what_was_not_asked_before_is_not_answered_from_what_was_kept(variables: dict[str, Any]) -> None:
    plain = two()
    assert plain.render({"a": "1", "b": "2"}) is not None
    assert plain.render({"a": "1", "b": ""}) is not None
    assert plain.render(variables) is None


def test_a_variable_more_is_refused_or_ignored_as_the_schema_says_whatever_was_kept() -> None:
    closed = {"type": "object", "properties": {"a": {}, "b": {}}, "additionalProperties": False}
    for schema, expected in ((closed, None), ({}, [{"role": "user", "content": "1 and 2"}])):
        plain = two(schema)
        plain.render({"a": "1", "b": "2"})
        assert plain.render({"a": "1", "b": "2", "c": "3"}) == expected


def test_prompts_of_ever_new_values_keep_nothing_and_read_the_same() -> None:
    plain = two()
    for turn in range(2):
        for number in range(600):
            filled = plain.render({"a": str(number), "b": "x"})
            assert filled == [{"role": "user", "content": f"{number} and x"}], turn
    assert len(plain.kept) == 0


def test_long_texts_are_not_kept() -> None:
    plain = two()
    plain.render({"a": "x" * 100_000, "b": "y"})
    assert len(plain.kept) == 0


@given(st.lists(st.dictionaries(st.sampled_from("abc"), VALUES), max_size=8))
def test_whatever_was_rendered_before_the_engine_is_the_oracle(calls: list[dict[str, Any]]) -> None:
    engine = new_environment()
    engine.add_template("t", "{{ a }} and {{ b }}")
    plain = two()
    for variables in calls + calls:
        filled = plain.render(variables)
        if filled is not None:
            assert filled == [{"role": "user", "content": engine.render_template("t", **variables)}]
