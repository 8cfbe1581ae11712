from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.artifacts.folder import load_feature
from trimtab.artifacts.importers import FORMATS, ImportedPrompt, detect_format, import_prompt
from trimtab.artifacts.importers.draft import Draft
from trimtab.artifacts.model import PromptContent, PromptMessage, artifact_digest
from trimtab.artifacts.template import new_environment
from trimtab.core.errors import InputError, SourceError

if TYPE_CHECKING:
    from pathlib import Path


def save(folder: Path, name: str, content: Any) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def unpack(imported: ImportedPrompt, folder: Path) -> dict[str, Any]:
    for name, content in imported.files.items():
        target = folder / imported.feature / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    return {item.kind: item.content for item in load_feature(folder / imported.feature).artifacts}


def messages(parts: dict[str, Any]) -> list[tuple[str, str]]:
    return [(message.role, message.content) for message in parts["prompt"].messages]


def refusal(path: Path, **options: Any) -> SourceError:
    with pytest.raises(SourceError) as caught:
        import_prompt(path, **options)
    return caught.value


LANGFUSE = {
    "name": "Movie critic",
    "type": "chat",
    "prompt": [
        {"role": "system", "content": 'As a {{level}} critic, reply {"stars": {"n": 1}} or {% raw %} 😀.'},
        {"type": "chatmessage", "role": "user", "content": "Do you like {{ movie }}? {{{movie}}}"},
    ],
    "config": {"model": "gpt-4o", "temperature": 0.5, "max_tokens": 50, "supported_languages": ["en"]},
    "version": 7,
    "labels": ["production"],
    "tags": ["movies"],
}


def test_a_langfuse_chat_prompt_keeps_every_literal_character(tmp_path: Path) -> None:
    imported = import_prompt(save(tmp_path, "p.json", LANGFUSE))
    parts = unpack(imported, tmp_path)
    texts = [new_environment().render_str(content, level="harsh", movie="Heat") for _, content in messages(parts)]
    assert texts == [
        'As a harsh critic, reply {"stars": {"n": 1}} or {% raw %} 😀.',
        "Do you like Heat? {Heat}",
    ]
    assert (parts["model"].model, parts["model"].parameters) == ("gpt-4o", {"temperature": 0.5, "max_tokens": 50})
    assert imported.feature == "movie-critic"
    notes = "\n".join(imported.notes)
    assert "version 7" in notes
    assert "production" in notes
    assert "supported_languages" in notes


def test_a_langfuse_text_prompt_is_one_user_message(tmp_path: Path) -> None:
    export = {"name": "t", "type": "text", "prompt": "Hi {{name}}", "config": {"model": "anthropic/claude-3"}}
    parts = unpack(import_prompt(save(tmp_path, "p.json", export)), tmp_path)
    assert messages(parts) == [("user", "Hi {{name}}")]
    assert parts["model"].provider == "anthropic"


def test_langfuse_tools_and_schema_come_along(tmp_path: Path) -> None:
    tool = {"type": "function", "function": {"name": "find", "parameters": {"type": "object"}}}
    schema = {"name": "answer", "strict": True, "schema": {"type": "object"}}
    config = {"model": "m", "tools": [tool], "response_format": {"type": "json_schema", "json_schema": schema}}
    parts = unpack(import_prompt(save(tmp_path, "p.json", LANGFUSE | {"config": config})), tmp_path)
    assert parts["tools"].tools[0].name == "find"
    assert (parts["schema"].name, parts["schema"].strict) == ("answer", True)


@pytest.mark.parametrize(
    ("prompt", "names"),
    [
        ([{"type": "placeholder", "name": "chat_history"}], "chat_history"),
        ([{"role": "tool", "content": "x"}], "tool"),
        ("See @@@langfusePrompt:name=base|label=production@@@", "name=base"),
        ("{{user-name}}", "user-name"),
    ],
)
def test_what_langfuse_cannot_hand_over_is_named(tmp_path: Path, prompt: Any, names: str) -> None:
    error = refusal(save(tmp_path, "p.json", LANGFUSE | {"prompt": prompt}))
    assert error.code == "unconvertible"
    assert names in error.message
    assert error.line == 1


def test_several_langfuse_prompts_ask_which(tmp_path: Path) -> None:
    page = {"data": [LANGFUSE, LANGFUSE | {"version": 8}, LANGFUSE | {"name": "other", "version": 1}]}
    path = save(tmp_path, "page.json", page)
    error = refusal(path)
    assert error.code == "several_choices"
    assert "1. Movie critic@7; 2. Movie critic@8; 3. other@1" in error.message
    assert import_prompt(path, prompt="other").feature == "other"
    assert import_prompt(path, prompt="Movie critic@8").notes[0].startswith("imported from version 8")
    assert import_prompt(path, prompt="3").feature == "other"
    assert refusal(path, prompt="Movie critic").code == "several_choices"
    assert refusal(path, prompt="nope").code == "no_choice"


def test_a_prompt_without_a_model_takes_the_one_that_is_given(tmp_path: Path) -> None:
    path = save(tmp_path, "p.json", LANGFUSE | {"config": {}})
    assert refusal(path).code == "missing_model"
    assert unpack(import_prompt(path, model="openai/gpt-4.1"), tmp_path)["model"].model == "gpt-4.1"


OPENAI = {
    "id": "pmpt_68abc",
    "object": "prompt",
    "name": "Weather",
    "version": "3",
    "model": "gpt-4.1",
    "instructions": "Be brief.",
    "messages": [
        {
            "type": "message",
            "role": "user",
            "content": [{"type": "input_text", "text": "Weather in {{city}}?"}, {"type": "input_text", "text": "Now."}],
        }
    ],
    "variables": {"city": {"type": "input_text", "text": "Paris"}},
    "tools": [{"type": "function", "name": "lookup", "parameters": {"type": "object", "properties": {}}}],
    "text": {"format": {"type": "json_schema", "name": "w", "schema": {"type": "object"}, "strict": True}},
    "temperature": 0.3,
    "max_output_tokens": 99,
    "reasoning": {"effort": "low", "summary": None},
    "tool_choice": "auto",
}


def test_an_openai_stored_prompt_becomes_a_feature(tmp_path: Path) -> None:
    imported = import_prompt(save(tmp_path, "p.json", OPENAI))
    parts = unpack(imported, tmp_path)
    assert imported.feature == "weather"
    assert messages(parts) == [("developer", "Be brief."), ("user", "Weather in {{city}}?\nNow.")]
    assert parts["model"].parameters == {
        "temperature": 0.3,
        "max_completion_tokens": 99,
        "reasoning_effort": "low",
        "tool_choice": "auto",
    }
    assert parts["tools"].tools[0].strict
    assert (parts["schema"].name, parts["schema"].schema, parts["schema"].strict) == ("w", {"type": "object"}, True)
    assert b"city: Paris" in imported.files["weather.prompt.yml"]


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"messages": [{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}]}, "input_image"),
        ({"messages": [{"type": "file_search_call", "content": "x"}]}, "file_search_call"),
        ({"tools": [{"type": "web_search"}]}, "web_search"),
        ({"variables": {"photo": {"type": "input_file", "file_id": "f"}}}, "photo"),
        ({"text": {"format": {"type": "grammar"}}}, "grammar"),
        ({"top_k": 4}, "top_k"),
    ],
)
def test_what_openai_cannot_hand_over_is_named(tmp_path: Path, change: dict[str, Any], names: str) -> None:
    error = refusal(save(tmp_path, "p.json", OPENAI | change))
    assert error.code == "unconvertible"
    assert names in error.message


def test_the_format_is_recognised(tmp_path: Path) -> None:
    found = [
        detect_format(tmp_path / "x.prompt"),
        detect_format(tmp_path / "x.prompty"),
        detect_format(tmp_path / "promptfooconfig.yaml"),
        detect_format(save(tmp_path, "a.json", LANGFUSE)),
        detect_format(save(tmp_path, "b.json", OPENAI)),
    ]
    assert found == list(FORMATS)
    assert refusal(save(tmp_path, "c.json", {"x": 1})).code == "unknown_format"
    assert "already" in refusal(tmp_path / "a.prompt.yml").message
    with pytest.raises(InputError, match="no format"):
        import_prompt(tmp_path / "x.prompt", format="word")


def test_one_prompt_has_one_digest_whichever_tool_it_comes_from(tmp_path: Path) -> None:
    system, user = "Be brief.", "Hi {{name}}, {{ n }}!"
    chat = [{"role": "system", "content": system}, {"role": "user", "content": user}]
    yaml_chat = f"- {{role: system, content: {system}}}\n- {{role: user, content: '{user}'}}\n"
    sources = {
        "a.json": json.dumps({"name": "a", "type": "chat", "prompt": chat, "config": {"model": "gpt-4o"}}),
        "b.json": json.dumps({"id": "pmpt_1", "model": "gpt-4o", "messages": chat}),
        "c.prompty": f"---\nmodel: gpt-4o\n---\nsystem:\n{system}\n\nuser:\n{user}\n",
        "d/promptfooconfig.yaml": "prompts: file://chat.yaml\nproviders: openai:gpt-4o\n",
        "e.prompt": f'---\nmodel: openai/gpt-4o\n---\n{{{{role "system"}}}}{system}{{{{role "user"}}}}{user}',
    }
    save(tmp_path, "d/chat.yaml", yaml_chat)
    digests = set()
    for name, text in sources.items():
        parts = unpack(import_prompt(save(tmp_path, name, text)), tmp_path / "out" / name)
        normal = parts["prompt"].messages[1].content.replace("{{ name }}", "{{name}}")
        prompt = PromptContent(
            messages=[parts["prompt"].messages[0], PromptMessage(role="user", content=normal)],
            variables=parts["prompt"].variables,
        )
        digests.add((artifact_digest("prompt", prompt), artifact_digest("model", parts["model"])))
    assert len(digests) == 1


CHARACTERS = st.characters(exclude_categories=["Cs", "Cc"], include_characters="\n\t")
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-9, 9)
    | st.sampled_from(["no", "0o17", "1e3", "~", "0x1F", ".inf", "a: b"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(CHARACTERS, max_size=4), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=60, deadline=None)
@given(text=st.text(CHARACTERS), sample=VALUES, name=st.text(max_size=20))
def test_whatever_is_drafted_comes_back_from_the_folder_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, text: str, sample: Any, name: str
) -> None:
    from trimtab.artifacts.template_lexer import escape_literal

    draft = Draft(path="x", name=name or "x", model=("openai", "0o17"), test_data=[sample])
    draft.messages = [("user", escape_literal(text))]
    draft.tools = [{"name": "t", "parameters": {"type": "object", "properties": {"p": {"const": sample}}}}]
    parts = unpack(draft.finish(), tmp_path_factory.mktemp("draft"))
    assert new_environment().render_str(parts["prompt"].messages[0].content) == text
    assert parts["model"].model == "0o17"
    assert parts["tools"].tools[0].parameters["properties"]["p"]["const"] == sample


PIECES = [
    *["---", "model: gpt-4o", "model:", "  api: chat", "  parameters:", "    temperature: 0.7", "    tools:"],
    *["inputs:", "  q: {type: string}", "system:", "user:", "{{question}}", "template: mustache"],
    *["prompts:", "  - 'a {{b}}'", "providers:", "  - id: openai:chat:x", "    config:", "      temperature: 0"],
    "{{role 'x'}}",
    "{{#each a}}",
    "{{/each}}",
    "{{~",
    "---",
    "&a *a",
]


@settings(max_examples=150, deadline=None)
@given(
    lines=st.lists(st.sampled_from(PIECES), max_size=14),
    document=VALUES,
    key=st.sampled_from(["prompt", "config", "messages", "tools", "text", "variables", "name", "instructions"]),
)
def test_whatever_a_file_holds_only_a_source_error_is_raised(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], document: Any, key: str
) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    files: dict[str, Any] = {
        "a.prompt": "\n".join(lines),
        "a.prompty": "\n".join(lines),
        "a.yaml": "\n".join(lines),
        "langfuse.json": LANGFUSE | {key: document},
        "openai.json": OPENAI | {key: document},
        "any.json": document,
    }
    for name, content in files.items():
        with contextlib.suppress(SourceError):
            import_prompt(save(folder, name, content))
