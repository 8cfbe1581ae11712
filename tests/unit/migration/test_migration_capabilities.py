from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

import pytest

from trimtab.artifacts.model import ModelContent
from trimtab.artifacts.model_source import PARAMETERS
from trimtab.core.errors import InputError, SourceError
from trimtab.migration.capabilities import load_capabilities
from trimtab.providers.anthropic.parameters import messages_fields

if TYPE_CHECKING:
    from pathlib import Path

TABLE = load_capabilities()


def test_a_model_that_no_row_is_about_is_unknown_whatever_it_is_called() -> None:
    for provider, name in (("openai", "gpt-7"), ("anthropic", "claude-9"), ("mistral", "gpt-4o")):
        assert not TABLE.named(provider, name).known, name
    assert TABLE.named("mistral", "gpt-4o").parameters == {}


def test_an_alias_is_told_apart_from_a_pinned_snapshot_and_takes_the_date_of_what_it_stands_for() -> None:
    alias, pinned = TABLE.named("openai", "gpt-4o"), TABLE.named("openai", "gpt-4o-2024-08-06")
    assert (alias.naming, pinned.naming) == ("alias", "pinned")
    assert alias.alias is not None
    assert alias.alias.snapshot == "gpt-4o-2024-08-06"
    assert alias.shutdown == pinned.shutdown == "2027-01-14"
    assert TABLE.named("openai", "gpt-5-chat-latest").naming == "unknown"


def test_every_fact_names_where_and_when_it_was_read() -> None:
    for provider, name in (
        ("openai", "gpt-4-0613"),
        ("openai", "o3"),
        ("openai", "gpt-5.1"),
        ("anthropic", "claude-sonnet-4-5-20250929"),
        ("anthropic", "claude-opus-4-7"),
    ):
        known = TABLE.named(provider, name)
        sources = [(rule.source, rule.seen) for rule in known.parameters.values()]
        sources += [(fact.source, fact.seen) for fact in known.features.values()]
        assert sources, name
        for source, seen in sources:
            assert source.startswith("https://"), name
            assert date.fromisoformat(seen) > date(2026, 1, 1)


@pytest.mark.parametrize(
    ("parameters", "refused"),
    [
        ({"seed": 1}, True),
        ({"temperature": 1.5}, True),
        ({"temperature": 0.5}, False),
        ({"logprobs": True}, True),
        ({"logprobs": False}, False),
        ({"top_logprobs": 3}, True),
        ({"n": 2}, True),
        ({"n": 1}, False),
        ({"presence_penalty": 0.5}, True),
        ({"frequency_penalty": 0}, False),
        ({"logit_bias": {"1": 2}}, True),
        ({"audio": {"voice": "x"}}, True),
        ({"metadata": {"a": "b"}}, True),
        ({"prediction": {"type": "content", "content": "x"}}, True),
        ({"prompt_cache_key": "x"}, True),
        ({"prompt_cache_retention": "24h"}, True),
        ({"service_tier": "flex"}, True),
        ({"store": True}, True),
        ({"verbosity": "low"}, True),
        ({"web_search_options": {}}, True),
        ({"modalities": ["text", "audio"]}, True),
        ({"top_p": 0.5}, False),
        ({"stop": ["x"]}, False),
        ({"reasoning_effort": "low"}, False),
        ({"max_tokens": 5}, False),
        ({"max_completion_tokens": 5}, False),
        ({"parallel_tool_calls": False}, False),
        ({"safety_identifier": "x"}, False),
        ({"tool_choice": "auto"}, False),
    ],
)
def test_what_the_table_says_anthropic_refuses_is_what_the_translation_refuses(
    parameters: dict[str, Any],
    refused: bool,  # noqa: FBT001 - a column of the table above
) -> None:
    (name, value), *_ = parameters.items()
    rule = TABLE.named("anthropic", "claude-3-haiku-20240307").parameters.get(name)
    by_table = rule is not None and (rule.rule == "rejected" or (rule.rule == "limited" and not rule.allows(value)))
    try:
        messages_fields(parameters)
    except InputError:
        by_translation = True
    else:
        by_translation = False
    assert by_table is by_translation is refused


def test_every_parameter_that_a_release_can_pin_is_in_the_anthropic_comparison() -> None:
    tested = set()
    for mark in test_what_the_table_says_anthropic_refuses_is_what_the_translation_refuses.pytestmark:
        tested |= {name for parameters, _ in mark.args[1] for name in parameters}
    assert set(PARAMETERS) - tested == {"response_format"}  # a feature, not a parameter: json_object


def test_a_team_s_rows_win_over_the_built_in_ones(tmp_path: Path) -> None:
    file = tmp_path / "models.toml"
    file.write_text(
        """
[[family]]
name = "ours"
provider = "openai"
models = ["gpt-7*"]
context_tokens = 1000
source = "https://wiki.example/models"
seen = "2026-01-01"
[[family.parameter]]
name = "temperature"
rule = "rejected"
[[lifecycle]]
provider = "openai"
models = ["gpt-4o-2024-08-06"]
shutdown = "2030-01-01"
source = "our contract"
seen = "2026-01-01"
"""
    )
    table = load_capabilities(str(file))
    ours = table.of(ModelContent(provider="openai", model="gpt-7-large"))
    assert (ours.known, ours.context_tokens, ours.parameters["temperature"].rule) == (True, 1000, "rejected")
    assert ours.parameters["temperature"].source == "https://wiki.example/models"
    assert table.named("openai", "gpt-4o").shutdown == "2030-01-01"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[[family]]\nname = 1", "family[0]"),
        ("[[lifecycle]]\nprovider='a'\nmodels=[]\nshutdown='soon'\nsource='x'\nseen='2026-01-01'", "lifecycle[0]"),
        ("[[famly]]\nname = 'x'", "famly"),
        ("not toml", "not TOML"),
    ],
)
def test_a_wrong_overlay_is_an_error_that_names_file_and_place(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "models.toml"
    file.write_text(text)
    with pytest.raises(SourceError, match=r"(?s).") as caught:
        load_capabilities(str(file))
    assert told in str(caught.value)
    assert str(file) in str(caught.value)
