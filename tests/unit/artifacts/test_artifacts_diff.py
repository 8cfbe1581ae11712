from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.artifacts.diff import Change, diff_artifacts, diff_releases
from trimtab.artifacts.model import (
    AdapterContent,
    Content,
    ModelContent,
    PartialContent,
    PromptContent,
    PromptMessage,
    SchemaContent,
    ToolDefinition,
    ToolsContent,
    artifact_digest,
)
from trimtab.core.errors import InputError


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    prompt: PromptContent
    model: ModelContent
    tools: ToolsContent | None = None
    schema: SchemaContent | None = None
    adapter: AdapterContent | None = None
    wire: str = "openai-chat/1"
    fallbacks: list[Any] = []


def prompt(*texts: str, **variables: Any) -> PromptContent:
    return PromptContent(messages=[PromptMessage(role="system", content=text) for text in texts], variables=variables)


def model(**parameters: Any) -> ModelContent:
    return ModelContent(provider="openai", model="gpt-4o", parameters=parameters)


def lines(changes: list[Change]) -> list[str]:
    return [f"{change.path}: {change.summary}" for change in changes]


def test_three_words_of_an_edit_are_said_as_words() -> None:
    (change,) = diff_artifacts(
        prompt("Reply only with JSON. Be brief."), prompt("Reply with JSON. Be friendly and brief.")
    )
    assert change.path == "prompt.messages[0].content"
    assert (change.words_removed, change.words_added) == (["only"], ["friendly and"])
    assert change.summary == '- "only", + "friendly and"'
    assert change.behaviour


@pytest.mark.parametrize(
    ("after", "summary"),
    [
        ("Be  kind.\n", "only whitespace changed"),
        ("Be kind.{# reviewed #}", "only template comments changed"),
    ],
)
def test_whitespace_and_comments_change_no_behaviour(after: str, summary: str) -> None:
    (change,) = diff_artifacts(prompt("Be kind."), prompt(after))
    assert (change.summary, change.behaviour) == (summary, False)
    (partial,) = diff_artifacts(PartialContent(text="Be kind."), PartialContent(text=after))
    assert not partial.behaviour


def test_a_word_in_a_book_long_prompt_is_found() -> None:
    book = "".join(f"Rule {number}: answer with care.\n" for number in range(3000))
    (change,) = diff_artifacts(prompt(book), prompt(book.replace("Rule 1500: answer", "Rule 1500: never answer")))
    assert (change.words_removed, change.words_added) == ([], ["never"])
    (moved,) = diff_artifacts(prompt(book), prompt(book.replace("\n", "\n\n")))
    assert not moved.behaviour


def test_a_comment_sign_in_a_raw_block_is_text() -> None:
    (change,) = diff_artifacts(prompt("{% raw %}{# a #}{% endraw %}"), prompt("{% raw %}{# b #}{% endraw %}"))
    assert change.behaviour


def test_an_inserted_message_does_not_make_the_others_changed() -> None:
    changes = diff_artifacts(prompt("one", "three"), prompt("one", "two", "three"))
    assert [(change.kind, change.path) for change in changes] == [("added", "prompt.messages[1]")]
    changes = diff_artifacts(prompt("one", "two", "three"), prompt("two", "three"))
    assert [(change.kind, change.path) for change in changes] == [("removed", "prompt.messages[0]")]


def test_variables_are_described_by_what_callers_must_do() -> None:
    before = {
        "type": "object",
        "properties": {"shop": {"type": "string"}, "n": {"type": "string"}, "old": {}, "tone": {"enum": ["a", "b"]}},
        "required": ["n", "old", "shop"],
    }
    after = {
        "type": "object",
        "properties": {
            "shop": {"type": "string"},
            "n": {"type": "integer"},
            "tone": {"enum": ["a"]},
            "new": {"type": "number"},
        },
        "required": ["n", "new"],
        "additionalProperties": False,
    }
    assert lines(diff_artifacts(prompt("x", **before), prompt("x", **after))) == [
        "prompt.variables.shop: variable `shop` is now optional",
        "prompt.variables.n: type string → integer",
        "prompt.variables.old: variable `old` removed",
        'prompt.variables.tone: enum narrowed: - ["b"]',
        "prompt.variables.new: variable `new` added (number, required)",
        "prompt.variables.additionalProperties: unknown fields are now refused",
    ]


def test_model_changes_name_the_parameter() -> None:
    new = ModelContent(provider="openai", model="gpt-4o-2", parameters={"temperature": 0.7, "seed": 1})
    assert lines(diff_artifacts(model(temperature=0.2, top_p=1), new)) == [
        'model.model: "gpt-4o" → "gpt-4o-2"',
        "model.parameters.seed: set to 1",
        "model.parameters.temperature: 0.2 → 0.7",
        "model.parameters.top_p: removed (was 1)",
    ]


def tool(name: str, **fields: Any) -> ToolDefinition:
    return ToolDefinition(name=name, **fields)


def test_tools_are_compared_by_name() -> None:
    takes = {"type": "object", "properties": {"id": {"type": "string", "maxLength": 5}}}
    needs = {"type": "object", "properties": {"id": {"type": "string", "maxLength": 3}}, "required": ["id"]}
    old = ToolsContent(tools=[tool("a"), tool("b", description="Finds an order", parameters=takes), tool("c")])
    new = ToolsContent(
        tools=[tool("c", strict=True), tool("b", description="Finds any order", parameters=needs), tool("d")]
    )
    assert lines(diff_artifacts(old, new)) == [
        "tools.a: tool `a` removed",
        "tools.c.strict: false → true",
        'tools.b.description: - "an", + "any"',
        "tools.b.parameters.id: parameter `id` is now required",
        "tools.b.parameters.id.maxLength: maxLength 5 → 3 (tighter)",
        "tools.d: tool `d` added",
        "tools: the model sees the tools in another order: c, b, d",
    ]


def test_schema_changes_reach_into_lists() -> None:
    def schema(*labels: str) -> SchemaContent:
        items = {"type": "object", "properties": {"label": {"enum": list(labels)}}}
        return SchemaContent(name="s", schema={"properties": {"all": {"type": "array", "items": items}}})

    assert lines(diff_artifacts(schema("x"), schema("x", "y"))) == ['schema.all[].label: enum widened: + ["y"]']


def test_a_release_is_compared_part_by_part() -> None:
    old = Parts(prompt=prompt("a b"), model=model())
    new = Parts(
        prompt=prompt("a c"),
        model=model(seed=1),
        tools=ToolsContent(tools=[tool("t")]),
        adapter=AdapterContent(output=["trim"]),
        wire="openai-chat/2",
    )
    assert lines(diff_releases(old, new)) == [
        'prompt.messages[0].content: - "b", + "c"',
        "model.parameters.seed: set to 1",
        "tools: tools added (t)",
        "adapter: adapter added (trim)",
        'wire: "openai-chat/1" → "openai-chat/2"',
    ]
    assert [change.kind for change in diff_releases(new, old)][2:4] == ["removed", "removed"]


def test_contents_of_different_kinds_cannot_be_compared() -> None:
    with pytest.raises(InputError, match="no common meaning"):
        diff_artifacts(model(), prompt("x"))


TEXTS = st.lists(st.sampled_from(["a", "b", " ", "\n", "{# c #}", "{{ x }}", ".", "{"]), max_size=5).map("".join)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.sampled_from([0, 1, 2.5, "a", "b"]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["type", "properties", "required", "enum", "items", "minimum", "a", "description"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)
SCHEMAS = st.dictionaries(
    st.sampled_from(["type", "properties", "required", "enum", "items", "description"]), JSON, max_size=4
)
MESSAGES = st.builds(PromptMessage, role=st.sampled_from(["system", "user"]), content=TEXTS)
CONTENTS: st.SearchStrategy[tuple[Content, Content]] = st.one_of(
    *(
        st.tuples(strategy, strategy)
        for strategy in (
            st.builds(PromptContent, messages=st.lists(MESSAGES, max_size=3), variables=SCHEMAS),
            st.builds(PartialContent, text=TEXTS),
            st.builds(
                ModelContent,
                provider=st.just("p"),
                model=st.sampled_from("ab"),
                parameters=st.dictionaries(st.sampled_from("ab"), JSON, max_size=2),
            ),
            st.builds(
                ToolsContent,
                tools=st.lists(
                    st.builds(ToolDefinition, name=st.sampled_from("abc"), parameters=SCHEMAS, strict=st.booleans()),
                    max_size=3,
                    unique_by=lambda tool: tool.name,
                ),
            ),
            st.builds(SchemaContent, name=st.just("s"), schema=SCHEMAS),
            st.builds(
                AdapterContent,
                output=st.lists(st.sampled_from(["trim", "extract_json"]), max_size=2),
            ),
        )
    )
)


@given(CONTENTS)
def test_a_diff_is_empty_exactly_where_the_digests_are_equal(pair: tuple[Any, Any]) -> None:
    old, new = pair
    assert diff_artifacts(old, old) == []
    equal = artifact_digest("prompt", old) == artifact_digest("prompt", new)
    assert (diff_artifacts(old, new) == []) == equal
