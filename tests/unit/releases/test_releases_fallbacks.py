"""A release declares who answers when its model cannot, and by which API each is called: both are in its digest."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from trimtab.artifacts.diff import diff_artifacts, diff_releases
from trimtab.artifacts.folder import load_feature
from trimtab.artifacts.model import ModelContent, artifact_digest
from trimtab.core.canonical import canonical_digest
from trimtab.core.errors import SourceError
from trimtab.releases.model import CompiledRelease, Manifest, wire_of
from trimtab.releases.push import compile_release

if TYPE_CHECKING:
    from pathlib import Path

PROMPT = "messages:\n  - role: system\n    content: You answer.\n"


def compiled(folder: Path, feature_yaml: str) -> tuple[Manifest, CompiledRelease]:
    folder.mkdir(exist_ok=True)
    (folder / "a.prompt.yml").write_text(PROMPT)
    (folder / "feature.yaml").write_text("feature: support-reply\n" + feature_yaml)
    return compile_release(load_feature(folder))


def refused(folder: Path, feature_yaml: str) -> SourceError:
    with pytest.raises(SourceError) as caught:
        compiled(folder, feature_yaml)
    return caught.value


def test_models_and_releases_from_before_there_was_a_choice_keep_their_digests(tmp_path: Path) -> None:
    before = {"provider": "openai", "model": "gpt-4o", "parameters": {"seed": 1}}
    model = ModelContent(provider="openai", model="gpt-4o", parameters={"seed": 1})
    assert artifact_digest("model", model) == canonical_digest({"kind": "model", "content": before})
    manifest, release = compiled(tmp_path / "f", "model: openai/gpt-4o\n")
    written: dict[str, object] = {
        "feature": "support-reply",
        "prompt": manifest.prompt,
        "model": manifest.model,
        "partials": {},
        "tools": None,
        "schema": None,
        "adapter": None,
        "wire": "openai-chat/1",
    }
    assert release.digest == canonical_digest(written)


def test_digests_of_the_first_releases_are_what_they_were() -> None:
    # Computed by the code from before models had an `api`.
    plain = ModelContent(provider="openai", model="gpt-4o")
    assert artifact_digest("model", plain) == "sha256:f76771757d18ce6f038cb915778cc939c56cfa05998a911e75d50f1fdeb18735"
    claude = ModelContent(provider="anthropic", model="claude-sonnet-5", parameters={"max_tokens": 9})
    assert artifact_digest("model", claude) == "sha256:d1895cad19e9b627dae62d6cc84e1134beef574c0ae1abf69a02d4bd5d2eaaa2"


@pytest.mark.parametrize(
    ("said", "unsaid"),
    [
        ("{model: openai/gpt-4o, api: chat}", "openai/gpt-4o"),
        ("{model: anthropic/claude-sonnet-5, api: messages}", "anthropic/claude-sonnet-5"),
    ],
)
def test_a_default_api_that_is_written_out_is_the_same_release(tmp_path: Path, said: str, unsaid: str) -> None:
    _, one = compiled(tmp_path / "a", f"model: {said}\n")
    _, other = compiled(tmp_path / "b", f"model: {unsaid}\n")
    assert one.digest == other.digest


def test_an_api_alone_makes_two_models_differ() -> None:
    chat = ModelContent(provider="openai", model="gpt-5")
    responses = ModelContent(provider="openai", model="gpt-5", api="responses")
    assert [(c.path, c.before, c.after) for c in diff_artifacts(chat, responses)] == [
        ("model.api", "chat", "responses")
    ]


def test_a_chain_of_five_is_accepted(tmp_path: Path) -> None:
    _, release = compiled(tmp_path / "f", "model: openai/a\nfallbacks: [b/1, b/2, b/3, b/4, b/5]\n")
    assert [fallback.model.model for fallback in release.fallbacks] == ["1", "2", "3", "4", "5"]


@pytest.mark.parametrize(
    ("model", "wire"),
    [
        ("openai/gpt-4o", "openai-chat/1"),
        ("anthropic/claude-sonnet-5", "anthropic-messages/1"),
        ("{model: openai/gpt-5, api: responses}", "openai-responses/1"),
        ("{model: anthropic/claude-sonnet-5, api: chat}", "openai-chat/1"),
        ("{model: proxy/claude, api: messages}", "anthropic-messages/1"),
    ],
)
def test_the_api_follows_from_the_provider_unless_it_is_named(tmp_path: Path, model: str, wire: str) -> None:
    manifest, release = compiled(tmp_path / "f", f"model: {model}\n")
    assert manifest.wire == release.wire == wire_of(release.model) == wire


def test_a_chain_is_read_in_its_order_each_model_with_parameters_of_its_own(tmp_path: Path) -> None:
    manifest, release = compiled(
        tmp_path / "f",
        "model: {model: openai/gpt-4o, parameters: {seed: 1}}\n"
        "fallbacks:\n"
        "  - anthropic/claude-sonnet-5\n"
        "  - {model: openai/gpt-4o-mini, parameters: {temperature: 0.1}}\n",
    )
    assert [(each.model.model, each.wire, each.model.parameters) for each in release.fallbacks] == [
        ("claude-sonnet-5", "anthropic-messages/1", {}),
        ("gpt-4o-mini", "openai-chat/1", {"temperature": 0.1}),
    ]
    assert manifest.fallbacks == [artifact_digest("model", each.model) for each in release.fallbacks]
    assert release.model.parameters == {"seed": 1}


def test_the_chain_is_behaviour_so_it_is_in_the_digest_and_in_the_diff(tmp_path: Path) -> None:
    model = "model: openai/gpt-4o\n"
    _, alone = compiled(tmp_path / "a", model)
    _, one = compiled(tmp_path / "b", model + "fallbacks: [anthropic/claude-sonnet-5, openai/gpt-4o-mini]\n")
    _, other = compiled(tmp_path / "c", model + "fallbacks: [openai/gpt-4o-mini, anthropic/claude-sonnet-5]\n")
    assert len({alone.digest, one.digest, other.digest}) == 3
    assert [(change.kind, change.path) for change in diff_releases(alone, one)] == [
        ("added", "fallbacks[1]"),
        ("added", "fallbacks[2]"),
    ]
    assert [change.kind for change in diff_releases(one, alone)] == ["removed", "removed"]
    assert diff_releases(alone, one)[0].summary == "fallback added (anthropic/claude-sonnet-5)"
    moved = {change.path for change in diff_releases(one, other)}
    assert {"fallbacks[1].wire", "fallbacks[2].wire"} <= moved
    assert diff_releases(one, one) == []


@pytest.mark.parametrize(
    ("yaml", "code", "line"),
    [
        ("model: openai/a\nfallbacks: [openai/a]\n", "same_model_twice", 3),
        ("model: openai/a\nfallbacks:\n  - openai/b\n  - openai/b\n", "same_model_twice", 5),
        ("model: openai/a\nfallbacks: [{model: openai/a, api: chat}]\n", "same_model_twice", 3),
        ("model: openai/a\nfallbacks: [b/1, b/2, b/3, b/4, b/5, b/6]\n", "too_many_fallbacks", 3),
        ("model: {model: openai/a, api: soap}\n", "unknown_api", 2),
        ("model: openai/a\nfallbacks: openai/b\n", "wrong_type", 3),
        ("model: openai/a\nfallback: [openai/b]\n", "unknown_field", 3),
    ],
)
def test_what_is_no_chain_is_named_with_its_line(tmp_path: Path, yaml: str, code: str, line: int) -> None:
    error = refused(tmp_path / "f", yaml)
    assert (error.code, error.line) == (code, line)


def test_what_the_answer_must_look_like_holds_for_fallbacks_too(tmp_path: Path) -> None:
    _, release = compiled(
        tmp_path / "f",
        "model: {model: openai/gpt-4o, parameters: {responseFormat: {type: json_object}, seed: 1}}\n"
        "fallbacks: [openai/gpt-4o-mini]\n",
    )
    assert release.fallbacks[0].model.parameters == {"response_format": {"type": "json_object"}}


def test_a_fallback_that_could_hardly_ever_answer_is_warned_of(tmp_path: Path) -> None:
    compiled(tmp_path / "f", "model: openai/gpt-4o\nfallbacks: [anthropic/claude-sonnet-5]\n")
    (warning,) = load_feature(tmp_path / "f").warnings
    assert "fallback-1 pins no `max_tokens`" in warning
