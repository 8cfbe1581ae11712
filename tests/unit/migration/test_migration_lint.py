from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from trimtab.artifacts.model import ModelContent, PromptContent, PromptMessage, SchemaContent
from trimtab.artifacts.model_source import PARAMETERS
from trimtab.migration.capabilities import load_capabilities
from trimtab.migration.lint import LintReport, LintRequest, lint
from trimtab.releases.model import CompiledRelease

TABLE = load_capabilities()


def release(parameters: dict[str, Any], *, model: str = "gpt-4o-2024-08-06", schema: bool = False) -> CompiledRelease:
    return CompiledRelease(
        digest="sha256:1",
        feature="f",
        number=1,
        prompt=PromptContent(messages=[PromptMessage(role="user", content="{{ q }}")], variables={}),
        model=ModelContent(provider="openai", model=model, parameters=parameters),
        schema=SchemaContent(name="s", schema={"type": "object"}) if schema else None,
    )


def linted(parameters: dict[str, Any], to: str, *, schema: bool = False, **request: Any) -> LintReport:
    provider, _, name = to.partition("/")
    wanted = LintRequest(
        source=TABLE.named("openai", "gpt-4o-2024-08-06"),
        target=TABLE.named(provider, name),
        today="2026-11-26",
        **request,
    )
    return lint(release(parameters, schema=schema), wanted)


def ids(report: LintReport) -> list[str]:
    return [one.id for one in report.findings]


def test_a_reasoning_model_refuses_sampling_and_counts_tokens_under_another_name() -> None:
    report = linted({"temperature": 0.2, "max_tokens": 300, "seed": 7}, "openai/o3-mini")
    assert "limited:temperature" in ids(report)
    assert "renamed:max_tokens" in ids(report)
    assert "changed_default:reasoning_effort" in ids(report)
    assert "shutdown:openai/o3-mini" in ids(report)
    assert report.parameters == {"max_completion_tokens": 300, "seed": 7}
    told = next(one for one in report.findings if one.id == "renamed:max_tokens")
    assert "max_completion_tokens" in told.does
    assert told.source.startswith("https://")


def test_a_value_that_the_model_takes_is_no_finding() -> None:
    report = linted({"temperature": 1, "max_completion_tokens": 300, "reasoning_effort": "low"}, "openai/gpt-5")
    assert [one for one in ids(report) if not one.startswith("shutdown")] == []
    assert report.parameters == {"temperature": 1, "max_completion_tokens": 300, "reasoning_effort": "low"}


def test_anthropic_needs_a_limit_and_halves_the_range_of_temperature() -> None:
    report = linted({"temperature": 1.4, "seed": 1}, "anthropic/claude-3-haiku-20240307")
    assert ids(report) == ["limited:temperature", "rejected:seed", "required:max_tokens"]
    assert report.parameters == {"temperature": 1, "max_tokens": 4096}
    assert linted({"max_completion_tokens": 9}, "anthropic/claude-3-haiku-20240307").findings == []


def test_what_a_person_sets_wins_and_is_no_longer_a_finding() -> None:
    report = linted({"temperature": 0.2}, "anthropic/claude-3-haiku-20240307", overrides={"max_tokens": 100})
    assert report.parameters == {"temperature": 0.2, "max_tokens": 100}
    assert report.findings == []
    assert linted({"seed": 1, "n": 1}, "openai/gpt-4.1-2025-04-14", overrides={"seed": None}).parameters == {"n": 1}


def test_an_unknown_model_is_told_as_unknown_and_nothing_is_touched() -> None:
    report = linted({"temperature": 0.2}, "openai/gpt-9", schema=True)
    assert ids(report) == ["unknown_model"]
    assert report.parameters == {"temperature": 0.2}
    assert report.unchecked == ["temperature", "json_schema"]


def test_features_that_the_model_has_not_are_told() -> None:
    assert "unsupported:json_schema" in ids(linted({}, "openai/gpt-4-0613", schema=True))
    json_mode = {"response_format": {"type": "json_object"}}
    assert "unsupported:json_object" in ids(linted(json_mode, "openai/gpt-4-0613"))


def test_one_sampler_at_a_time_where_the_model_wants_that() -> None:
    both = linted({"temperature": 0.2, "top_p": 0.5, "max_tokens": 5}, "anthropic/claude-opus-4-1-20250805")
    assert ids(both) == ["rejected:top_p"]
    assert both.parameters == {"temperature": 0.2, "max_tokens": 5}
    assert linted({"top_p": 0.5, "max_tokens": 5}, "anthropic/claude-opus-4-1-20250805").findings == []


def test_a_rule_that_holds_beside_other_values_only() -> None:
    reasons = linted({"temperature": 0.2, "reasoning_effort": "high"}, "openai/gpt-5.1")
    assert ids(reasons) == ["limited:temperature"]
    assert linted({"temperature": 0.2, "reasoning_effort": "none"}, "openai/gpt-5.1").findings == []


def test_the_largest_prompt_must_fit() -> None:
    target = TABLE.named("openai", "gpt-4.1-2025-04-14")
    import msgspec

    request = LintRequest(
        source=target,
        target=msgspec.structs.replace(target, context_tokens=1_000),
        largest_input_tokens=900,
    )
    assert "context" in [one.id for one in lint(release({"max_tokens": 200}), request).findings]
    assert "context" not in [one.id for one in lint(release({"max_tokens": 50}), request).findings]


@given(
    parameters=st.dictionaries(
        st.sampled_from(sorted(PARAMETERS)),
        st.one_of(st.integers(-5, 5), st.floats(-3, 3), st.booleans(), st.text(max_size=3), st.just({})),
        max_size=6,
    ),
    target=st.sampled_from(
        ["openai/o3-mini", "openai/gpt-5.1", "openai/gpt-4-0613", "anthropic/claude-opus-4-7", "openai/new"]
    ),
)
def test_linting_what_it_proposes_finds_nothing_more_about_parameters(parameters: dict[str, Any], target: str) -> None:
    first = linted(parameters, target)
    again = linted(first.parameters, target)
    assert again.parameters == first.parameters
    kinds = {"rejected", "ignored", "limited", "renamed", "required"}
    assert [one.id for one in again.findings if one.kind in kinds] == []
    for name, value in parameters.items():
        if name not in first.parameters or first.parameters[name] != value:
            assert any(one.about == name for one in first.findings), f"{name} changed without a word"
