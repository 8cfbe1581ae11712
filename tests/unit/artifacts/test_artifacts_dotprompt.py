from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from trimtab.artifacts.folder import load_feature
from trimtab.artifacts.importers import ImportedPrompt, import_prompt
from trimtab.artifacts.partials import inline_partials
from trimtab.artifacts.template import new_environment
from trimtab.core.errors import SourceError

if TYPE_CHECKING:
    from pathlib import Path

    from trimtab.artifacts.model import PromptContent

GREETING = """\
# A licence
---
model: googleai/gemini-1.5-flash
config:
  temperature: 0.9
  maxOutputTokens: 200
  stopSequences: [END]
input:
  schema:
    location: string, where the guest is
    style?: string
    name?: string
    items(array): {title: string, price?: number}
    mood(enum, of the guest): [happy, sad]
  default:
    location: a restaurant
output:
  format: json
  schema:
    reply: string
    tags(array): string
---
{{role "system"}}
You are the world's most {% welcoming %} assistant at {{location}}.
{{!-- a comment --}}
{{#if style}}
Use the style of {{style}}.
{{else}}
Be plain.
{{/if}}
Reply as {"reply": {"x": 1}}.
{{role "user"}}
{{> menu}}
{{#each items}}
{{@index}}. {{title}}{{#if price}} for {{this.price}}{{/if}}{{#unless @last}},{{/unless}} ({{../mood}})
{{/each}}
Greet a guest{{#if name}} named {{name}}{{/if}}.
"""


def convert(tmp_path: Path, text: str, name: str = "greeting.prompt", **partials: str) -> ImportedPrompt:
    for partial, content in partials.items():
        (tmp_path / f"_{partial}.prompt").write_text(content)
    path = tmp_path / name
    path.write_text(text)
    return import_prompt(path, model="openai/gpt-4o")


def unpack(imported: ImportedPrompt, folder: Path) -> dict[str, Any]:
    for name, content in imported.files.items():
        target = folder / imported.feature / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    parts: dict[str, Any] = {"partials": {}}
    for item in load_feature(folder / imported.feature).artifacts:
        if item.kind == "partial":
            parts["partials"][item.name] = getattr(item.content, "text", "")
        else:
            parts[item.kind] = item.content
    return parts


def render(parts: dict[str, Any], **variables: Any) -> list[tuple[str, str]]:
    prompt: PromptContent = inline_partials(parts["prompt"], parts["partials"])
    environment = new_environment()
    return [(item.role, environment.render_str(item.content, **variables)) for item in prompt.messages]


def test_a_dotprompt_renders_as_it_did_and_keeps_its_types(tmp_path: Path) -> None:
    imported = convert(tmp_path, GREETING, menu="The menu of {{location}}:")
    parts = unpack(imported, tmp_path)
    items = [{"title": "Soup", "price": 3}, {"title": "Tea", "price": None}]
    assert render(parts, items=items, mood="happy", name="Ann") == [
        (
            "system",
            (
                "You are the world's most {% welcoming %} assistant at a restaurant.\nBe plain.\n"
                'Reply as {"reply": {"x": 1}}.'
            ),
        ),
        (
            "user",
            "The menu of a restaurant:\n0. Soup for 3, (happy)\n1. Tea (happy)\nGreet a guest named Ann.",
        ),
    ]
    styled = render(parts, items=[], mood="sad", style="a pirate", location="sea")
    assert styled[0][1].startswith(
        "You are the world's most {% welcoming %} assistant at sea.\nUse the style of a pirate."
    )
    assert (parts["model"].provider, parts["model"].model) == ("googleai", "gemini-1.5-flash")
    assert parts["model"].parameters == {"temperature": 0.9, "max_tokens": 200, "stop": ["END"]}
    variables = parts["prompt"].variables
    assert variables["required"] == ["items", "mood"]
    assert variables["properties"]["location"] == {"type": "string", "description": "where the guest is"}
    assert variables["properties"]["mood"] == {"enum": ["happy", "sad"], "description": "of the guest"}
    assert variables["properties"]["items"]["items"]["required"] == ["title"]
    assert parts["schema"].schema["required"] == ["reply", "tags"]


def test_partials_come_along_with_the_partials_they_include(tmp_path: Path) -> None:
    imported = convert(
        tmp_path,
        "Dear {{> userGreeting name=user}}!",
        userGreeting="{{! licence }}{{name}}, {{> inner}}",
        inner="welcome",
    )
    assert set(imported.files) == {
        "feature.yaml",
        "greeting.prompt.yml",
        "partials/usergreeting.md",
        "partials/inner.md",
    }
    assert render(unpack(imported, tmp_path), user="Ann") == [("user", "Dear Ann, welcome!")]


@pytest.mark.parametrize(
    ("template", "rendered"),
    [
        ("{{#ifEquals a 1}}one{{else}}other{{/ifEquals}}", "one"),
        ('{{#unlessEquals b "x"}}not x{{/unlessEquals}}', "not x"),
        ("{{#if missing}}yes{{else if a}}a{{else}}no{{/if}}", "a"),
        ("{{#with o}}{{p}}{{/with}}", "P"),
        ("{{#each xs as_no}}{{/each}}", None),
        ("{{#each xs}}{{#each this}}{{this}}{{../../a}}{{/each}}{{/each}}", "1121"),
        ("x {{~a~}} y", "x1y"),
        ("{{{b}}} {{&b}}", "B B"),
        ("\\{{a}} {{a}}", "{{a}} 1"),
        ("{{json o}}", '{"p": "P"}'),
        ("{{#if a}}{ {{a}} }{{/if}}{{", None),
        ("{{#if o.p}}{{@root.a}}{{/if}}", "1"),
        ("{{#unless missing}}none{{/unless}}", "none"),
        ("{ {{a}} } {{{a}}}", "{ 1 } 1"),
    ],
)
def test_handlebars_constructs_mean_the_same(tmp_path: Path, template: str, rendered: str | None) -> None:
    if rendered is None:
        with pytest.raises(SourceError):
            convert(tmp_path, template)
        return
    parts = unpack(convert(tmp_path, template), tmp_path)
    values = {"a": 1, "b": "B", "o": {"p": "P"}, "xs": [[1, 2]]}
    assert render(parts, **values) == [("user", rendered)]


@pytest.mark.parametrize(
    ("text", "line", "names"),
    [
        ("one\n{{history}}", 2, "`{{history}}`"),
        ("{{media url=image}}", 1, "`{{media}}`"),
        ('{{section "x"}}', 1, "`{{section}}`"),
        ("\n\n{{shout name}}", 3, "`shout`"),
        ("{{#list xs}}{{/list}}", 1, "{{#list xs}}"),
        ("{{@auth.email}}", 1, "`@auth.email`"),
        ('{{#if a}}{{role "system"}}{{/if}}', 1, "`{{role}}`"),
        ('{{role "tool"}}x', 1, '"tool"'),
        ("{{#each xs}}{{> p}}{{/each}}", 1, "`p`"),
        ("{{{{raw}}}} x {{{{/raw}}}}", 1, "raw blocks"),
        ("---\nconfig:\n  topK: 3\n---\nx", 3, "`topK`"),
        ("---\ntools: [search]\n---\nx", 2, "`tools`"),
        ("---\ninput:\n  schema: MySchema\n---\nx", 3, "`MySchema`"),
        ("---\noutput:\n  format: media\n---\nx", 3, "`media`"),
    ],
)
def test_what_cannot_be_converted_is_named_with_its_line(tmp_path: Path, text: str, line: int, names: str) -> None:
    with pytest.raises(SourceError) as caught:
        convert(tmp_path, text)
    assert (caught.value.code, caught.value.line) == ("unconvertible", line)
    assert names in caught.value.message


@pytest.mark.parametrize(
    ("text", "code", "line"),
    [
        ("a\n{{#if x}}", "malformed_template", 2),
        ("{{/if}}", "malformed_template", 1),
        ("{{else}}", "malformed_template", 1),
        ("a\n{{x", "malformed_template", 2),
        ("{{> nowhere}}", "missing_partial", None),
        ("---\nmodell: x\n---\n", "unknown_field", 2),
        ("---\na: [\n---\n", "malformed_yaml", 3),
    ],
)
def test_a_broken_dotprompt_names_its_place(tmp_path: Path, text: str, code: str, line: int | None) -> None:
    with pytest.raises(SourceError) as caught:
        convert(tmp_path, text)
    assert (caught.value.code, caught.value.line) == (code, line)
    assert caught.value.path.endswith("greeting.prompt")
