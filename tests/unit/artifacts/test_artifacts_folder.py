from __future__ import annotations

import contextlib
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.artifacts.folder import load_feature
from trimtab.artifacts.model import artifact_digest
from trimtab.core.errors import SourceError

PROMPT = """\
name: Support reply
description: Answers customers.
model: openai/gpt-4o-mini
modelParameters:
  temperature: 0.2
  maxTokens: 300
messages:
  - role: system
    content: |
      You answer for {{ shop }}.
      {% include "tone" %}
      Reply as {"answer": "..."}.
  - role: user
    content: "{{ question }}"
testData:
  - input: hello
    expected: hi
evaluators:
  - name: starts
    string: {startsWith: "{"}
"""


def write(root: Path, **files: str | bytes) -> Path:
    folder = root / "support-reply"
    names = {"feature_yaml": "feature.yaml", "prompt": "support.prompt.yml", "tone": "partials/tone.md"}
    content: dict[str, str | bytes] = {"prompt": PROMPT, "tone": "Be kind.\n", **files}
    for name, text in content.items():
        path = folder / names.get(name, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
    return folder


def failure(folder: Path) -> SourceError:
    with pytest.raises(SourceError) as caught:
        load_feature(folder)
    return caught.value


def contents(folder: Path) -> dict[str, Any]:
    return {item.kind: item.content for item in load_feature(folder).artifacts if item.kind != "partial"}


def test_a_folder_with_one_prompt_is_a_feature(tmp_path: Path) -> None:
    source = load_feature(write(tmp_path))
    assert (source.feature, source.team, source.description) == ("support-reply", "default", "Answers customers.")
    assert source.capture_content
    assert source.plan is None
    assert [(item.kind, item.name) for item in source.artifacts] == [
        ("prompt", "support-reply"),
        ("partial", "tone"),
        ("model", "support-reply"),
    ]
    prompt, model = contents(tmp_path / "support-reply").values()
    assert prompt.variables["required"] == ["question", "shop"]
    assert (model.provider, model.model) == ("openai", "gpt-4o-mini")
    assert model.parameters == {"temperature": 0.2, "max_tokens": 300}


FULL = """\
feature: reply
team: shop
description: All of it.
captureContent: false
model:
  provider: anthropic
  model: claude-sonnet-4
  parameters: {max_tokens: 100}
variables:
  shop: string
  question: {type: string, minLength: 1}
  hint?: string[]
tools:
  - name: lookup
    parameters: {type: object, properties: {id: {type: string}}}
schema: answer.json
adapter:
  output: [trim, strip_code_fence]
"""
BARE = PROMPT.replace("model: openai/gpt-4o-mini\nmodelParameters:\n  temperature: 0.2\n  maxTokens: 300\n", "")
ANSWER = '{"type": "object", "properties": {"answer": {"type": "string"}}}'


def test_everything_a_folder_can_say_is_read(tmp_path: Path) -> None:
    folder = write(
        tmp_path, feature_yaml=FULL, prompt=BARE, **{"answer.json": ANSWER, "rollout.yaml": "steps: []  # ü\n"}
    )
    source = load_feature(folder)
    assert (source.feature, source.team, source.capture_content) == ("reply", "shop", False)
    assert source.plan == "steps: []  # ü\n".encode()
    assert source.plan_path == str(folder / "rollout.yaml")
    assert source.warnings == [f"{folder}/feature.yaml:9: variable `hint` is declared, but no template uses it"]
    parts = contents(folder)
    assert parts["model"].provider == "anthropic"
    assert parts["tools"].tools[0].name == "lookup"
    assert parts["schema"].strict
    assert parts["adapter"].output == ["trim", "strip_code_fence"]
    assert parts["prompt"].variables == {
        "type": "object",
        "properties": {
            "shop": {"type": "string"},
            "question": {"type": "string", "minLength": 1},
            "hint": {"type": "array", "items": {"type": "string"}},
        },
        "required": ["question", "shop"],
        "additionalProperties": False,
    }


def test_a_json_object_is_asked_for_by_a_parameter_and_a_schema_by_a_schema(tmp_path: Path) -> None:
    parts = contents(write(tmp_path, prompt=PROMPT + "responseFormat: json_object\n"))
    assert parts["model"].parameters["response_format"] == {"type": "json_object"}
    wrapped = json.dumps({"name": "reply", "schema": {"type": "object"}})
    for schema in (f"jsonSchema: '{wrapped}'\n", f"jsonSchema: {wrapped}\n", f"jsonSchema: |\n  {wrapped}\n"):
        parts = contents(write(tmp_path, prompt=PROMPT + "responseFormat: json_schema\n" + schema))
        assert (parts["schema"].name, parts["schema"].strict) == ("reply", False)
        assert "response_format" not in parts["model"].parameters


def test_test_data_and_evaluators_do_not_change_the_digest(tmp_path: Path) -> None:
    before = contents(write(tmp_path))
    after = contents(write(tmp_path, prompt=PROMPT.split("testData", maxsplit=1)[0]))
    assert before == after


def wrong(old: str, new: str) -> str:
    assert old in PROMPT
    return PROMPT.replace(old, new)


@pytest.mark.parametrize(
    ("text", "code", "line", "says"),
    [
        (wrong("maxTokens: 300", "maxToken: 300"), "unknown_parameter", 6, "did you mean `max_tokens`?"),
        (wrong("maxTokens: 300", "top_k: 3"), "unknown_parameter", 6, "frequency_penalty"),
        (wrong("maxTokens: 300", 'maxTokens: "300"'), "wrong_type", 6, "must be an integer, not a string"),
        (wrong("temperature: 0.2", "temperature: warm"), "wrong_type", 5, "must be a number"),
        (wrong("temperature: 0.2", "max_tokens: 1"), "duplicate_key", 6, "camelCase"),
        (wrong("modelParameters:", "modelParams:"), "unknown_field", 4, "did you mean `modelParameters`?"),
        (wrong("role: system", "role: sistem"), "unknown_role", 8, "did you mean `system`?"),
        (wrong("role: system", "rôle: system"), "unknown_field", 8, "did you mean `role`?"),
        (wrong('{% include "tone" %}', '{% include "tones" %}'), "missing_partial", 11, "did you mean `tone`?"),
        (wrong("{{ shop }}", "{{ shop | }}"), "template_syntax", 10, "{% raw %}"),
        (wrong("{{ shop }}", "{{ shop|loud }}"), "unknown_filter", 10, "loud"),
        (wrong("model: openai/gpt-4o-mini\n", ""), "missing_model", None, "model: openai/gpt-4o"),
        (wrong("model: openai", "name: openai"), "duplicate_key", 3, "first on line 1"),
        (PROMPT + "responseFormat: json\n", "unknown_response_format", 21, "json_object"),
        (PROMPT + "responseFormat: json_schema\n", "missing_field", 21, "jsonSchema"),
        (PROMPT + "responseFormat: json_schema\njsonSchema: |\n  {\n  oops\n", "malformed_json", 24, "double quotes"),
        (
            PROMPT + "responseFormat: json_schema\njsonSchema:\n  type: object\n  required: yes\n",
            "invalid_schema",
            24,
            "required",
        ),
        ("messages: []\nmodel: a/b\n", "no_messages", 1, "message"),
        ("model: a/b\n", "missing_field", 1, "messages"),
        ("", "missing_field", 1, "messages"),
        ("just text\n", "wrong_type", 1, "a mapping"),
    ],
)
def test_a_wrong_prompt_file_names_line_and_remedy(
    tmp_path: Path, text: str, code: str, line: int | None, says: str
) -> None:
    error = failure(write(tmp_path, prompt=text))
    assert (error.code, error.line) == (code, line)
    assert error.path.endswith("support.prompt.yml")
    assert says in str(error)


@pytest.mark.parametrize(
    ("text", "code", "line", "says"),
    [
        ("teem: shop\n", "unknown_field", 1, "did you mean `team`?"),
        ("captureContent: yes please\n", "wrong_type", 1, "true or false"),
        ("feature: Support Reply\n", "malformed_name", 1, "cannot name a feature"),
        ("team: x\nteam: y\n", "duplicate_key", 2, "twice"),
        ("prompt: other.prompt.yml\n", "missing_file", 1, "support.prompt.yml"),
        ("prompt: ../x.prompt.yml\n", "outside_folder", 1, "outside"),
        ("model: openai/gpt-4o\n", "model_twice", 1, "support.prompt.yml"),
        ("\nvariables:\n  shop: string\n", "undeclared_variable", 14, "`question`"),
        ("variables:\n  shop: strin\n  question: any\n", "unknown_type", 2, "string"),
        ("variables:\n  shop:\n    type: strin\n  question: any\n", "invalid_schema", 3, "strin"),
        ("tools:\n  - nam: x\n", "unknown_field", 2, "did you mean `name`?"),
        ("tools:\n  - name: x\n  - name: x\n", "duplicate_tool", 3, "twice"),
        ("tools:\n  - type: web_search\n    name: x\n", "unsupported_tool", 2, "web_search"),
        ("adapter: {output: [shout]}\n", "unknown_step", 1, "strip_code_fence"),
        ("schema: nope.json\n", "missing_file", 1, "nope.json"),
        ("a: [\n", "malformed_yaml", 2, "not YAML"),
    ],
)
def test_a_wrong_feature_file_names_line_and_remedy(tmp_path: Path, text: str, code: str, line: int, says: str) -> None:
    error = failure(write(tmp_path, feature_yaml=text))
    assert (error.code, error.line) == (code, line)
    assert says in str(error)


def test_files_that_would_be_overlooked_are_named(tmp_path: Path) -> None:
    assert failure(write(tmp_path, **{"rollout.yml": "x"})).code == "misnamed_file"
    assert failure(tmp_path / "nowhere").code == "missing_folder"
    empty = tmp_path / "empty"
    empty.mkdir()
    assert failure(empty).code == "no_prompt"


def test_two_prompts_ask_which(tmp_path: Path) -> None:
    folder = write(tmp_path, **{"b.prompt.yml": PROMPT})
    error = failure(folder)
    assert error.code == "several_prompts"
    (folder / "feature.yaml").write_text("prompt: b.prompt.yml\n")
    assert load_feature(folder).artifacts[0].path.endswith("b.prompt.yml")


def test_a_broken_partial_is_the_partials_fault(tmp_path: Path) -> None:
    error = failure(write(tmp_path, tone="fine\n{% if %}\n"))
    assert (error.code, error.line) == ("template_syntax", 2)
    assert error.path.endswith("partials/tone.md")
    cycle = failure(write(tmp_path, tone='x {% include "tone" %}'))
    assert cycle.code == "cyclic_partial"
    assert "tone → tone" in cycle.message
    assert cycle.path.endswith("partials/tone.md")


def test_bytes_that_are_not_utf8_are_named_wherever_they_are(tmp_path: Path) -> None:
    for name in ("prompt", "tone", "feature_yaml", "rollout.yaml", "tools.json"):
        folder = write(tmp_path / name, **{name: b"ok\n\xff"})
        error = failure(folder)
        assert (error.code, error.line) == ("not_utf8", 2)
        assert "offset 3" in error.message


def test_a_file_over_one_mebibyte_is_refused(tmp_path: Path) -> None:
    assert failure(write(tmp_path, tone="x" * 2_000_000)).code == "file_too_large"


def test_a_partial_that_nothing_includes_is_worth_a_warning(tmp_path: Path) -> None:
    folder = write(tmp_path, **{"partials/old.md": "x"})
    assert load_feature(folder).warnings == [f"{folder}/partials/old.md: no prompt includes this partial"]


ORDER = st.permutations(["name", "model", "modelParameters", "messages", "description"])


@settings(max_examples=40, deadline=None)
@given(ORDER, st.sampled_from(["json", "block", "flow"]), st.booleans())
def test_key_order_style_and_format_do_not_change_a_digest(order: list[str], style: str, camel: Any) -> None:
    document = {
        "name": "x",
        "description": "y",
        "model": "openai/gpt-4o",
        "modelParameters": {"maxTokens" if camel else "max_tokens": 5, "temperature": 1},
        "messages": [{"role": "user", "content": "Grüße {{ name }}\nZeile 2 \U0001f600\n"}],
    }
    shuffled = {key: document[key] for key in order}
    text = (
        json.dumps(shuffled, ensure_ascii=False, indent=1)
        if style == "json"
        else yaml.safe_dump(shuffled, sort_keys=False, default_flow_style=style == "flow", allow_unicode=True)
    )
    with TemporaryDirectory() as name:
        folder = Path(name) / "greeting"
        folder.mkdir()
        (folder / "a.prompt.yml").write_text(text, encoding="utf-8")
        parts = contents(folder)
    assert artifact_digest("prompt", parts["prompt"]) == (
        "sha256:01d328fa4d0c29114c84ae41c5a482ac5192cb4a1ce4ec2879b0e7a5297cf7b5"
    )
    assert (
        artifact_digest("model", parts["model"])
        == "sha256:7f7177118b7ab55296bcce6cefe69fcb759322438140d3be9d88867afd6043cd"
    )


WORDS = [*PROMPT.split("\n"), "  - x", "? y", "&a", "*a", "<<: 1", "\t", "!!binary x", "{", "content: {{", "é"]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(WORDS), max_size=12).map("\n".join), st.binary(max_size=30))
def test_whatever_the_files_hold_only_a_source_error_is_raised(text: str, data: bytes) -> None:
    with TemporaryDirectory() as name:
        for files in ({"prompt": text}, {"feature_yaml": text}, {"prompt": data}, {"tools.json": data}):
            with contextlib.suppress(SourceError):
                load_feature(write(Path(name) / "x", **files))
