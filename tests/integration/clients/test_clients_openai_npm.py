"""The stock `openai` npm client against the gateway: chat completions and Responses, to models called by each API."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from trimtab.sim.config import SimConfig

if TYPE_CHECKING:
    from collections.abc import Callable

CALL = ["find_order", {"order_id": "A-1007"}]
PINNED = {
    "class": "BadRequestError",
    "status": 400,
    "type": "invalid_request_error",
    "code": "pinned_field",
    "param": "temperature",
    "release": "support-reply#1",
}
UNKNOWN = {
    "class": "NotFoundError",
    "status": 404,
    "type": "invalid_request_error",
    "code": "model_not_found",
    "param": "model",
}


def test_the_npm_client_works_unchanged(
    node: Callable[..., dict[str, Any]], stack: Callable[..., Any], release: Callable[..., Any]
) -> None:
    search = release(feature="search", system="", model="text-embedding-3-small", parameters={"dimensions": 64})
    here = stack(release(), search, sim=SimConfig(chunk_gap_ms=2))
    seen = node("openai.mjs", here.base_url)
    assert json.loads(seen["answer"])["order_id"] == "A-1007"
    assert seen["streamed"] == seen["assembled"] == seen["answer"]
    assert (seen["release"], seen["usage"] > 0) == ("support-reply#1", True)
    assert seen["models"] == ["search", "support-reply"]
    assert seen["dimensions"] == [64, 64]
    assert seen["pinned"] == ["BadRequestError", 400, "pinned_field", "temperature"]
    assert seen["unknown"] == ["NotFoundError", 404, "model_not_found", "model"]
    assert seen["aborted"]
    recorded = {event.id: event for event in here.generations(6)}
    assert recorded[seen["generation"]].output == seen["answer"]
    assert sorted(event.status for event in recorded.values()) == ["aborted", "error", "ok", "ok", "ok", "ok"]


def test_tools_of_chat_are_called_and_their_results_answered(here: Any, node: Callable[..., dict[str, Any]]) -> None:
    seen = node("openai_tools.mjs", here.base_url)
    for name in ("complete", "streamed"):
        assert seen[name]["finish"] == ["tool_calls", "stop"]
        assert seen[name]["call"] == CALL
        assert min(seen[name]["tokens"]) > 0
    for name in ("runner", "streamedRunner"):
        assert seen[name]["roles"] == ["user", "assistant", "tool", "assistant"]
        assert seen[name]["result"] == '{"carrier":"Blue Ox"}'
        assert seen[name]["tokens"] > 0
    assert {json.loads(seen[name]["text"])["order_id"] for name in ("complete", "streamed", "runner")} == {"A-1007"}
    assert seen["looked"] == ["A-1007", "A-1007"]
    assert seen["release"] == "support-reply#1"
    assert len(seen["pieces"]) > 1
    assert json.loads("".join(seen["pieces"])) == CALL[1]
    assert seen["parsed"] == {"order_id": "A-1007", "verdict": "late"}
    check_errors(seen)
    events = here.generations(12)
    assert {event.format for event in events} == {"chat"}
    assert [event.stream for event in events[:8]] == [False, False, True, True] * 2
    check_tool_calls(events[0:8:2], events[1:8:2])


def test_responses_are_answered_streamed_and_call_tools(here: Any, node: Callable[..., dict[str, Any]]) -> None:
    seen = node("openai_responses.mjs", here.base_url)
    assert json.loads(seen["text"])["order_id"] == "A-1007"
    assert (seen["streamed"], seen["status"]) == (seen["text"], "completed")
    assert (seen["release"], seen["streamedRelease"]) == ("support-reply#1", "support-reply#1")
    assert min(seen["tokens"]) > 0
    assert seen["streamedTokens"] == seen["tokens"][1]
    assert (seen["kinds"][0], seen["kinds"][-1]) == ("response.created", "response.completed")
    assert seen["tools"] == seen["streamedTools"]
    assert seen["tools"]["call"] == CALL
    assert min(seen["tools"]["tokens"]) > 0
    assert json.loads(seen["tools"]["text"])["order_id"] == "A-1007"
    assert json.loads(seen["tools"]["turns"])["order_id"] == "B-2002"
    assert seen["assembled"] == [CALL[1]]
    assert seen["parsed"] == {"order_id": "A-1007", "verdict": "late"}
    check_errors(seen)
    events = here.generations(12)
    assert {event.format for event in events} == {"responses"}
    assert (events[0].id, events[0].output) == (seen["generation"], seen["text"])
    assert [events[0].input_tokens, events[0].output_tokens] == seen["tokens"]
    check_tool_calls([events[2], events[5]], [events[3], events[6]])


def check_errors(seen: dict[str, Any]) -> None:
    assert seen["pinned"] == seen["streamedPinned"]
    assert seen["pinned"].items() >= PINNED.items()
    assert "pins `temperature`" in seen["pinned"]["message"]
    assert seen["unknown"].items() >= UNKNOWN.items()
    assert "Did you mean `support-reply`?" in seen["unknown"]["message"]


def check_tool_calls(called: list[Any], answered: list[Any]) -> None:
    """What was called was recorded, and its result is in the next call's record."""
    for first, second in zip(called, answered, strict=True):
        (call,) = first.tool_calls
        assert [call["function"]["name"], json.loads(call["function"]["arguments"])] == CALL
        told = json.dumps(second.messages)
        assert call["id"] in told
        assert "Blue Ox" in told
        assert json.loads(second.output)["order_id"] == "A-1007"
