from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from trimtab.artifacts.folder import load_feature
from trimtab.artifacts.importers import ImportedPrompt, import_prompt
from trimtab.core.errors import SourceError

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


PROMPTY = """\
---
name: Basic Prompt
description: Answers questions.
authors: [someone]
model:
  api: chat
  configuration:
    type: azure_openai
    azure_endpoint: ${env:ENDPOINT}
    azure_deployment: gpt-35-turbo
  parameters:
    temperature: 0.7
    response_format: ${file:format.json}
    tools:
      - name: get_weather
        kind: function
        parameters:
          properties:
            - {name: location, kind: string, description: The city, required: true}
inputs:
  question: {type: string, sample: Why?}
sample:
  firstName: Jane
---
You come first.

system:
You are {{ firstName }}'s assistant.
{% if question %}Answer.{% endif %}

# user:
{{question}}
"""


def test_a_prompty_file_becomes_a_feature(tmp_path: Path) -> None:
    save(tmp_path, "format.json", {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}})
    imported = import_prompt(save(tmp_path, "basic.prompty", PROMPTY))
    parts = unpack(imported, tmp_path)
    assert messages(parts) == [
        ("system", "You come first."),
        ("system", "You are {{ firstName }}'s assistant.\n{% if question %}Answer.{% endif %}"),
        ("user", "{{question}}"),
    ]
    assert (parts["model"].provider, parts["model"].model) == ("azure", "gpt-35-turbo")
    assert parts["tools"].tools[0].parameters["required"] == ["location"]
    assert parts["schema"].name == "a"
    assert any("azure_endpoint" in note for note in imported.notes)


def test_a_prompty_of_the_newer_shape_is_read_too(tmp_path: Path) -> None:
    text = (
        "---\nname: x\nmodel:\n  id: ${env:MODEL:gpt-4o}\n  provider: openai\n  connection: {kind: key}\n"
        "  options: {temperature: 1, maxOutputTokens: 5}\ntemplate: {format: jinja2, parser: prompty}\n"
        "inputs:\n  - {name: q, kind: string, default: hi}\n---\nuser:\n{{q}}\n"
    )
    parts = unpack(import_prompt(save(tmp_path, "x.prompty", text)), tmp_path)
    assert (parts["model"].model, parts["model"].parameters) == ("gpt-4o", {"temperature": 1, "max_tokens": 5})


@pytest.mark.parametrize(
    ("old", "new", "line", "names"),
    [
        ("  api: chat", "  api: completion", 6, "completion"),
        ("azure_deployment: gpt-35-turbo", "azure_deployment: ${env:DEPLOYMENT}", 10, "DEPLOYMENT"),
        ("temperature: 0.7", "best_of: 2", 12, "best_of"),
        ("{type: string, sample: Why?}", "{kind: thread}", 21, "question"),
        ("authors: [someone]", "base: other.prompty", 4, "base"),
        ("authors: [someone]", "template: mustache", 4, "mustache"),
        ("# user:", "{{ item.role }}:", 31, "item.role"),
        ("# user:", "tool:", 31, "tool"),
        ("{{question}}", "![photo]({{url}})", 32, "photo"),
    ],
)
def test_what_prompty_cannot_hand_over_is_named(tmp_path: Path, old: str, new: str, line: int, names: str) -> None:
    save(tmp_path, "format.json", {"type": "json_object"})
    assert old in PROMPTY
    error = refusal(save(tmp_path, "basic.prompty", PROMPTY.replace(old, new)))
    assert (error.code, error.line) == ("unconvertible", line)
    assert names in error.message


def test_a_block_that_spans_two_prompty_messages_names_its_line(tmp_path: Path) -> None:
    error = refusal(save(tmp_path, "x.prompty", "---\nmodel: m\n---\nsystem:\nok\n\nuser:\n\nhi\n{% if x %}\nuser:\n"))
    assert (error.code, error.line) == ("template_syntax", 10)


PROMPTFOO = """\
description: Translations
prompts:
  - 'Translate to {{language}}: {{text}}'
providers:
  - id: openai:chat:gpt-4o-mini
    config:
      temperature: 0
      apiKey: secret
      response_format: {type: json_object}
tests:
  - vars: {language: French, text: hello}
    assert: [{type: contains, value: bonjour}]
"""


def test_a_promptfoo_configuration_becomes_a_feature(tmp_path: Path) -> None:
    imported = import_prompt(save(tmp_path, "translate/promptfooconfig.yaml", PROMPTFOO))
    parts = unpack(imported, tmp_path / "out")
    assert imported.feature == "translate"
    assert messages(parts) == [("user", "Translate to {{language}}: {{text}}")]
    assert parts["model"].parameters == {"temperature": 0, "response_format": {"type": "json_object"}}
    assert b"French" in imported.files["translate.prompt.yml"]
    assert not any(b"secret" in content for content in imported.files.values())


def test_promptfoo_files_are_followed(tmp_path: Path) -> None:
    chat = '[{"role": "system", "content": "Be kind."},\n {"role": "user", "content": "{{q}}"}]'
    save(tmp_path, "chat.json", chat)
    save(tmp_path, "two.txt", "One {{a}}\n---\nTwo {{b}}\n")
    path = save(
        tmp_path,
        "promptfooconfig.yaml",
        "prompts: [file://chat.json, two.txt, {label: third, raw: '"
        + chat.replace("\n", " ")
        + "'}]\nproviders: [openai:gpt-4o, 'anthropic:messages:claude-3']\n",
    )
    error = refusal(path)
    assert error.code == "several_choices"
    assert "1. chat; 2. two-1; 3. two-2; 4. third" in error.message
    assert refusal(path, prompt="chat").message.startswith("this file has 2 providers")
    for name in ("chat", "third"):
        imported = import_prompt(path, prompt=name, provider="2")
        parts = unpack(imported, tmp_path / "out")
        assert messages(parts) == [("system", "Be kind."), ("user", "{{q}}")]
        assert (parts["model"].provider, parts["model"].model) == ("anthropic", "claude-3")
    assert messages(unpack(import_prompt(path, prompt="two-2", provider="1"), tmp_path)) == [("user", "Two {{b}}")]


@pytest.mark.parametrize(
    ("old", "new", "code", "names"),
    [
        ("'Translate to {{language}}: {{text}}'", "file://make.py:prompt", "unconvertible", "make.py"),
        ("'Translate to {{language}}: {{text}}'", "file://gone.txt", "missing_file", "gone.txt"),
        ("{{language}}", "{{ env.LANG }}", "unconvertible", "env.LANG"),
        ("{{language}}", "{{ language | dump }}", "unknown_filter", "dump"),
        ("openai:chat:gpt-4o-mini", "file://provider.py", "unconvertible", "provider.py"),
        ("openai:chat:gpt-4o-mini", "openai:completion:davinci", "unconvertible", "davinci"),
        ("temperature: 0", "topK: 2", "unconvertible", "topK"),
        ("'Translate to {{language}}: {{text}}'", '\'[{"role": "user", "content": {{q}}}]\'', "unconvertible", "JSON"),
    ],
)
def test_what_promptfoo_cannot_hand_over_is_named(tmp_path: Path, old: str, new: str, code: str, names: str) -> None:
    assert old in PROMPTFOO
    error = refusal(save(tmp_path, "promptfooconfig.yaml", PROMPTFOO.replace(old, new)))
    assert error.code == code
    assert names in error.message
