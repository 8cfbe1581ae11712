from __future__ import annotations

from typing import Any

import pytest

from trimtab.artifacts.model import ModelContent, PromptContent, PromptMessage, artifact_digest
from trimtab.migration.capabilities import Lifecycle, load_capabilities
from trimtab.migration.inventory import Inventory, ModelName, Registry, deadline_of, take_inventory
from trimtab.migration.traffic import TrafficRow
from trimtab.releases.model import CompiledRelease, Fallback, Feature, Manifest, Pointer, Release

OLD = "gpt-4o-2024-08-06"
DAY_MS = 86_400_000


def release(
    feature: str, number: int, *, model: str = OLD, text: str = "{{ q }}", fallbacks: tuple[str, ...] = ()
) -> Release:
    prompt = PromptContent(messages=[PromptMessage(role="user", content=text)], variables={})
    content = ModelContent(provider="openai", model=model, parameters={"temperature": 0})
    chain = [ModelContent(provider="openai", model=one) for one in fallbacks]
    digest = f"sha256:{feature}-{number}"
    return Release(
        digest=digest,
        feature=feature,
        number=number,
        manifest=Manifest(feature=feature, prompt=artifact_digest("prompt", prompt), model="sha256:m"),
        compiled=CompiledRelease(
            digest=digest,
            feature=feature,
            number=number,
            prompt=prompt,
            model=content,
            fallbacks=[Fallback(model=one, wire="openai-chat/1") for one in chain],
        ),
        created_at_ms=0,
        created_by="ana",
    )


def row(feature: str, **more: Any) -> TrafficRow:
    fields: dict[str, Any] = {
        "feature": feature,
        "release": "sha256:1",
        "release_number": 1,
        "served_model": OLD,
        "arm": "stable",
        "team": "web",
        "process": "gw-1",
        "calls": 10,
        "errors": 1,
        "input_tokens": 100,
        "largest_input_tokens": 30,
        "output_tokens": 50,
        "cost_usd": 0.5,
        "last_ms": 5,
    }
    return TrafficRow(**(fields | more))


def taken(releases: list[Release], stable: dict[str, int], traffic: list[TrafficRow] | None = None) -> Inventory:
    by_feature: dict[str, list[Release]] = {}
    for one in sorted(releases, key=lambda found: -found.number):
        by_feature.setdefault(one.feature, []).append(one)
    return take_inventory(
        Registry(
            features={name: Feature(name=name, team=f"team-{name}") for name in by_feature},
            pointers=[
                Pointer(feature=name, environment="production", release=f"sha256:{name}-{number}", revision=1)
                for name, number in stable.items()
            ],
            releases=by_feature,
        ),
        traffic or [],
        target=ModelName(provider="openai", model="gpt-5"),
        source=load_capabilities().named("openai", OLD),
        environment="production",
        span=(0, 10),
    )


def test_features_are_found_by_what_their_stable_release_calls_and_not_by_what_was_pushed() -> None:
    found = taken(
        [release("support", 1), release("support", 2, model="gpt-5"), release("billing", 1), release("tags", 1)],
        {"support": 2, "billing": 1},
    )
    assert [(one.feature, one.number, one.role, one.team) for one in found.uses] == [
        ("billing", 1, "model", "team-billing")
    ]
    assert found.uses[0].parameters == {"temperature": 0}


def test_a_fallback_calls_the_model_too() -> None:
    found = taken([release("support", 1, model="gpt-5", fallbacks=(OLD,))], {"support": 1})
    assert [(one.feature, one.role) for one in found.uses] == [("support", "fallback")]


def test_prompts_that_were_forked_by_model_are_told_and_others_are_not() -> None:
    forked = [
        release("support", 1, text="be kind"),
        release("support", 2, text="be kind, in JSON only", model="gpt-5"),
        release("billing", 1, text="a"),
        release("billing", 2, text="b"),
    ]
    found = taken(forked, {"support": 1, "billing": 2})
    assert list(found.forks) == ["support"]
    assert [(fork.models, fork.releases) for fork in found.forks["support"]] == [
        ([f"openai/{OLD}"], [1]),
        (["openai/gpt-5"], [2]),
    ]


def test_traffic_is_summed_by_feature_and_told_by_who_sends_it() -> None:
    rows = [
        row("support"),
        row("support", process="gw-2", calls=30, served_model="gpt-4o-mini", largest_input_tokens=70, last_ms=9),
        row("tags", team="", process="job-1", calls=1, errors=0),
    ]
    found = taken([release("support", 1)], {"support": 1}, rows)
    support = next(one for one in found.traffic if one.feature == "support")
    assert (support.calls, support.errors, support.largest_input_tokens, support.last_ms) == (40, 2, 70, 9)
    assert support.served == {OLD: 10, "gpt-4o-mini": 30}
    assert [(one.team, one.process, one.feature, one.calls) for one in found.consumers] == [
        ("web", "gw-2", "support", 30),
        ("web", "gw-1", "support", 10),
        ("", "job-1", "tags", 1),
    ]
    assert found.elsewhere == ["tags"]


@pytest.mark.parametrize(
    ("days_before", "lead", "late"), [(31, 30, False), (30, 30, False), (29, 30, True), (-1, 0, True)]
)
def test_a_deadline_is_late_once_less_than_the_lead_time_is_left(days_before: int, lead: float, late: bool) -> None:  # noqa: FBT001 - a column
    ends_ms = 1_800_000_000_000 // DAY_MS * DAY_MS
    lifecycle = Lifecycle(provider="openai", models=[OLD], shutdown="2027-01-15", source="https://x", seen="2026-01-01")
    found = deadline_of(lifecycle, now_ms=ends_ms - days_before * DAY_MS, lead_days=lead)
    assert found is not None
    assert (found.late, found.days_left) == (late, days_before)


def test_without_a_published_date_there_is_no_deadline() -> None:
    assert deadline_of(None, now_ms=0, lead_days=30) is None
