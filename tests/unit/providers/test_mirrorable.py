from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.providers.mirrorable import harmless, obstacle

FUNCTION = {"type": "function", "function": {"name": "find_order"}}


@pytest.mark.parametrize(
    "tool",
    [
        FUNCTION,
        {"type": "function", "name": "find_order"},  # of Responses
        {"name": "find_order", "input_schema": {}},  # of Messages
        {"type": "custom", "name": "sql"},
        {"type": "bash_20250124", "name": "bash"},
        {"type": "text_editor_20250728", "name": "edit"},
        {"type": "computer_use_preview"},
        {"type": "local_shell"},
        {"type": "shell", "environment": {"type": "local"}},
        {"type": "namespace", "name": "crm", "tools": [{"type": "function", "name": "a"}]},
    ],
)
def test_what_the_caller_runs_itself_is_no_obstacle(tool: dict[str, Any]) -> None:
    assert obstacle({"model": "m", "tools": [FUNCTION, tool]}) == ""


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({"tools": [FUNCTION, {"type": "web_search_preview"}]}, "mirror_hosted_tool.web_search_preview"),
        (
            {"tools": [{"type": "code_interpreter", "container": {"type": "auto"}}]},
            "mirror_hosted_tool.code_interpreter",
        ),
        ({"tools": [{"type": "mcp", "server_url": "https://x.example"}]}, "mirror_hosted_tool.mcp"),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "mirror_hosted_tool.web_search_20250305"),
        ({"tools": [{"type": "shell", "environment": {"type": "container_auto"}}]}, "mirror_hosted_tool.shell"),
        ({"tools": [{"type": "namespace", "tools": [{"type": "mcp"}]}]}, "mirror_hosted_tool.mcp"),
        ({"tools": [{"type": "of the year 2031"}]}, "mirror_hosted_tool.unknown"),
        ({"tools": [{"type": 7}]}, "mirror_hosted_tool.7"),
        ({"web_search_options": {"search_context_size": "low"}}, "mirror_hosted_tool.web_search"),
        ({"mcp_servers": [{"type": "url"}]}, "mirror_hosted_tool.mcp"),
        ({"conversation": "conv_1"}, "mirror_kept_state.conversation"),
        ({"container": "c_1"}, "mirror_kept_state.container"),
        ({"prompt": {"id": "pmpt_1"}}, "mirror_kept_state.prompt"),
    ],
)
def test_what_runs_or_is_kept_at_the_provider_is_named(request_: dict[str, Any], code: str) -> None:
    assert obstacle(request_) == code


def test_kinds_that_are_free_of_side_effects_stand_for_their_versions_and_for_nothing_else() -> None:
    versions = [{"type": "web_search"}, {"type": "web_search_preview_2025_03_11"}, {"type": "web_search_20250305"}]
    assert obstacle({"tools": versions, "web_search_options": {"a": 1}}, ["web_search"]) == ""
    assert obstacle({"tools": [{"type": "web_searcher"}]}, ["web_search"]) == "mirror_hosted_tool.web_searcher"
    assert obstacle({"tools": [*versions, {"type": "mcp"}]}, ["web_search"]) == "mirror_hosted_tool.mcp"
    assert obstacle({"conversation": "c"}, ["conversation"]) == "mirror_kept_state.conversation"


@pytest.mark.parametrize("absent", [{}, {"tools": None}, {"tools": []}, {"mcp_servers": []}, {"conversation": None}])
def test_nothing_asked_for_is_no_obstacle(absent: dict[str, Any]) -> None:
    assert obstacle({"model": "m", **absent}) == ""


@given(st.dictionaries(st.sampled_from(["store", "background", "background_options", "model"]), st.booleans()))
def test_a_harmless_request_is_stored_nowhere_and_otherwise_the_same(request_: dict[str, Any]) -> None:
    before = dict(request_)
    chat, responses = harmless(request_, stores_by_default=False), harmless(request_, stores_by_default=True)
    assert not chat.get("store")
    assert responses["store"] is False
    for made in (chat, responses):
        assert {"background", "background_options"}.isdisjoint(made)
        assert made.get("model") == request_.get("model")
    assert request_ == before  # the user's own request is not touched
