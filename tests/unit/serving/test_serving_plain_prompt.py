"""Plain prompts are a matter of speed alone: the template engine is the oracle."""

from __future__ import annotations

from typing import Any

import minijinja
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.artifacts.model import PromptContent, PromptMessage
from trimtab.artifacts.template import check_text, new_environment
from trimtab.core.errors import InputError
from trimtab.serving.plain_prompt import plain_prompt

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
