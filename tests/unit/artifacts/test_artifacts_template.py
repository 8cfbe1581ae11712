from __future__ import annotations

import minijinja
import pytest

from trimtab.artifacts.model import PromptContent, PromptMessage
from trimtab.artifacts.template import PromptError, check_templates, new_environment, undeclared_variables
from trimtab.artifacts.variables import variables_schema


def prompt(*texts: str) -> PromptContent:
    return PromptContent(messages=[PromptMessage(role="user", content=text) for text in texts], variables={})


@pytest.mark.parametrize(
    "text",
    [
        '{"answer": "...", "meta": {"score": {"value": 1}}}',
        'Reply with {"a": {"b": [1, 2]}} only.\n',
        "function f() { return {}; }",
        "100 % sure, #1, {x} and }}",
    ],
)
def test_braces_that_are_no_tags_survive_rendering(text: str) -> None:
    check_templates(prompt(text))
    assert new_environment().render_str(text) == text


def test_bare_variables_of_other_tools_work_unchanged() -> None:
    assert new_environment().render_str("Hi {{name}}, {{ order }}!", name="Ann", order=7) == "Hi Ann, 7!"


def test_nothing_is_escaped() -> None:
    assert new_environment().render_str("{{ x }}", x="<a & 'b'>") == "<a & 'b'>"


def test_an_undefined_variable_is_an_error_not_an_empty_string() -> None:
    with pytest.raises(minijinja.TemplateError, match="undefined"):
        new_environment().render_str("{{ missing }}")


def test_a_runaway_loop_runs_out_of_fuel() -> None:
    text = "{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}"
    with pytest.raises(minijinja.TemplateError, match="fuel"):
        new_environment().render_str(text)


@pytest.mark.parametrize(
    ("text", "code", "line"),
    [
        ("one\ntwo {{ x", "template_syntax", 2),
        ("{% if x %}", "template_syntax", 1),
        ('send {{"a": 1}}', "template_syntax", 1),
        ("a\nb\n{{ x|shout }}", "unknown_filter", 3),
        ("{{ x is purple }}", "unknown_test", 1),
        ("\n{{ lookup('x') }}", "unknown_function", 2),
        ("{{ debug() }}", "unknown_function", 1),
        ('{% extends "base" %}', "template_unsupported", 1),
        ('{% import "m" as m %}', "template_unsupported", 1),
    ],
)
def test_what_would_fail_while_serving_fails_at_once_with_its_place(text: str, code: str, line: int) -> None:
    with pytest.raises(PromptError) as caught:
        check_templates(prompt("fine", text))
    assert (caught.value.code, caught.value.message_index, caught.value.line) == (code, 1, line)
    assert caught.value.hint


def test_filters_tests_methods_and_loops_are_no_false_alarms() -> None:
    text = (
        "{% for x in xs if x is not none %}{{ loop.index }}{{ x.name.upper() }}{{ x|default('(')|trim }}{% endfor %}"
        "{% macro f(a) %}{{ a or 'is purple' }}{% endmacro %}{{ f(1) }}{{ range(3)|join('|nope') }}{{ 'x' in xs }}"
    )
    check_templates(prompt(text))
    assert undeclared_variables(prompt(text)) == {"xs"}


def test_inferred_variables_are_required_and_nothing_else_is_taken() -> None:
    report = variables_schema(prompt("{{ b }}", "{{ a.x }}"))
    assert report.schema == {
        "type": "object",
        "properties": {"a": {}, "b": {}},
        "required": ["a", "b"],
        "additionalProperties": False,
    }


def test_a_variable_the_template_asks_for_is_optional() -> None:
    report = variables_schema(prompt("{% if a is defined %}{{ a }}{% endif %}{{ b|default('x') }}{{ c }}"))
    assert report.schema["required"] == ["c"]
    assert set(report.schema["properties"]) == {"a", "b", "c"}


def test_a_variable_without_declaration_names_the_nearest_and_its_place() -> None:
    declared = {"type": "object", "properties": {"customer": {"type": "string"}}, "additionalProperties": False}
    with pytest.raises(PromptError) as caught:
        variables_schema(prompt("fine", "a\n{{ custmer }}"), declared)
    assert caught.value.code == "undeclared_variable"
    assert caught.value.param == "messages[1].content line 2"
    assert caught.value.hint == "did you mean `customer`?"


def test_a_declared_variable_that_no_template_uses_is_a_warning() -> None:
    declared = {"type": "object", "properties": {"a": {}, "b": {}}}
    report = variables_schema(prompt("{{ a }}"), declared)
    assert report.schema is declared
    assert report.warnings == ["variable `b` is declared, but no template uses it"]


@pytest.mark.parametrize("declared", [{}, {"type": "object", "additionalProperties": True}])
def test_an_open_declaration_takes_anything(declared: dict[str, object]) -> None:
    assert variables_schema(prompt("{{ a }}"), declared).schema == declared
