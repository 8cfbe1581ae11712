from __future__ import annotations

import minijinja
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from trimtab.artifacts.model import PromptContent, PromptMessage
from trimtab.artifacts.partials import included_partials, inline_partials
from trimtab.artifacts.template import PromptError, new_environment
from trimtab.artifacts.template_lexer import tokenize


def prompt(*texts: str) -> PromptContent:
    return PromptContent(messages=[PromptMessage(role="user", content=text) for text in texts], variables={})


def inlined(text: str, **partials: str) -> str:
    return inline_partials(prompt(text), partials).messages[0].content


def test_partials_are_inlined_through_every_level() -> None:
    text = inlined('Start. {% include "tone" %} End.', tone="Be {% include 'how' %}.", how="kind to {{ name }}")
    assert text == "Start. Be kind to {{ name }}. End."


def test_a_partial_that_a_file_ends_with_a_newline_does_not_break_the_line() -> None:
    assert inlined('a {% include "p" %} b', p="x\n") == "a x b"
    assert inlined('a {% include "p" %} b', p="x\n\n") == "a x\n b"


def test_whitespace_control_of_the_include_itself_works_on_the_text_around_it() -> None:
    assert inlined('a  {%- include "p" -%}  b', p=" x ") == "a x b"


def test_a_brace_at_a_seam_does_not_become_a_tag() -> None:
    text = inlined('{% include "open" %}{"a": 1}', open="{")
    assert new_environment().render_str(text) == '{{"a": 1}'


def test_includes_in_raw_blocks_comments_and_strings_are_left_alone() -> None:
    text = "{% raw %}{% include 'x' %}{% endraw %}{# {% include 'y' %} #}{{ \"{% include 'z' %}\" }}"
    assert inlined(text) == text


def test_a_missing_partial_names_the_nearest_one_and_the_line() -> None:
    with pytest.raises(PromptError) as caught:
        inlined('one\ntwo {% include "ton" %}', tone="x")
    assert caught.value.code == "missing_partial"
    assert caught.value.param == "messages[0].content line 2"
    assert caught.value.hint == "did you mean `tone`?"


def test_a_missing_partial_may_be_ignored() -> None:
    assert inlined('a {% include "nope" ignore missing %}b') == "a b"


def test_a_cycle_is_shown_as_a_chain() -> None:
    with pytest.raises(PromptError) as caught:
        inlined('{% include "a" %}', a='{% include "b" %}', b='{% include "a" %}')
    assert caught.value.code == "cyclic_partial"
    assert "a → b → a" in caught.value.message
    assert caught.value.partial == "b"


@pytest.mark.parametrize("tag", ["{% include which %}", '{% include ["a", "b"] %}', '{% include "a" ~ x %}'])
def test_an_include_that_is_decided_while_serving_is_refused(tag: str) -> None:
    with pytest.raises(PromptError) as caught:
        inlined(tag, a="x", b="y")
    assert caught.value.code == "dynamic_include"


def test_a_broken_partial_is_named() -> None:
    with pytest.raises(PromptError) as caught:
        inlined('{% include "p" %}', p="fine\n{{ broken")
    assert caught.value.code == "template_syntax"
    assert caught.value.param == "partial `p` line 2"


def test_partials_that_multiply_are_stopped() -> None:
    partials = {f"p{n}": f'{{% include "p{n + 1}" %}}' * 10 for n in range(12)} | {"p12": "boom"}
    with pytest.raises(PromptError) as caught:
        inlined('{% include "p0" %}', **partials)
    assert caught.value.code == "prompt_too_large"


def test_a_chain_of_partials_has_an_end() -> None:
    partials = {f"p{n}": f'{{% include "p{n + 1}" %}}' for n in range(2000)} | {"p2000": "x"}
    with pytest.raises(PromptError) as caught:
        inlined('{% include "p0" %}', **partials)
    assert caught.value.code == "partials_too_deep"


def test_only_the_partials_in_use_are_listed() -> None:
    partials = {"a": '{% include "b" %}', "b": "x", "c": "y"}
    assert included_partials(prompt('{% include "a" %}'), partials) == ["a", "b"]


def _interleave(leaves: list[str]) -> st.SearchStrategy[str]:
    return st.lists(st.sampled_from(leaves), max_size=7).map("".join)


PLAIN = ["x", " ", "\n", "{", "}", "#", "%", "-", '{"k": 1}', "{{ v }}", "{{- v -}}", "{# c #}", "{#- c -#}"]
BLOCKS = [
    "{% if v %} yes {% endif %}",
    "{%- if v -%} y {%- endif -%}",
    "{% raw %} {{ r }} {% endraw %}",
    "{% set v = '{%' %}",
    "{%- set w = 2 -%}",
    "{{ {'a': {'b': v}} }}",
    "{% for i in [1, 2] %}{{ i }} {% endfor %}",
]


@settings(max_examples=400, deadline=None)
@given(
    outer=_interleave(
        [*PLAIN, *BLOCKS, '{% include "a" %}', "{%- include 'a' -%}", '{%- include "b" %}', '{% include "a" -%}']
    ),
    a=_interleave([*PLAIN, *BLOCKS, '{% include "b" %}', '{%- include "b" -%}']),
    b=_interleave([*PLAIN, *BLOCKS]),
)
@example(outer='{% include "a" %}{% include "a" %}', a=" {{- v -}}{", b="")
@example(outer='{% include "a" %}{ {{- v -}}', a="", b="")
@example(outer=' {% include "a" %}', a=" {%- set w = 2 -%}", b="")
@example(outer=' {% include "a" %} {%- if v -%} y {%- endif -%}', a=" ", b="")
def test_an_inlined_prompt_renders_as_the_includes_would_have(outer: str, a: str, b: str) -> None:
    partials = {"a": a, "b": b}
    try:
        text = inlined(outer, **partials)
    except PromptError:
        return
    assert inlined(text, **partials) == text
    including = minijinja.Environment(
        loader=lambda name: partials[name].removesuffix("\n"),
        undefined_behavior="strict",
        keep_trailing_newline=True,
        auto_escape_callback=lambda _name: False,
    )
    assert new_environment().render_str(text, v="V") == including.render_str(outer, v="V")


@given(_interleave([*PLAIN, *BLOCKS, '{{ "}}" }}', "{% set x = '%}' %}"]))
def test_tokens_joined_are_the_template(text: str) -> None:
    assert "".join(token.text for token in tokenize(text)) == text
