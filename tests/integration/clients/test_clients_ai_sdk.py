"""The Vercel AI SDK, as its users call it, against a real gateway: in each format it speaks, to models called by each
API."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

FORMATS = {"chat": "chat", "responses": "responses", "messages": "messages", "compatible": "chat"}
CALL = {"finish": "tool-calls", "calls": [["findOrder", {"order_id": "A-1007"}]], "results": [{"carrier": "Blue Ox"}]}
ANSWER = {"finish": "stop", "calls": [], "results": []}
PINNED = {"status": 400, "same": True, "param": "temperature", "code": "pinned_field", "release": "support-reply#1"}


@pytest.mark.parametrize("provider", FORMATS)
def test_the_ai_sdk_works_unchanged(here: Any, node: Callable[..., dict[str, Any]], provider: str) -> None:
    seen = node("ai_sdk.mjs", provider, here.base_url)
    check_answers(seen)
    check_tool_loops(seen)
    check_errors(seen, missing="not_found_error" if provider == "messages" else "invalid_request_error")
    assert seen.get("dimensions") == ([64, 64] if FORMATS[provider] == "chat" else None)
    if provider == "responses":  # unless it is told to store nothing, it refers to answers that nobody keeps
        refused = seen["reference"]
        assert (refused["code"], refused["param"]) == ("cannot_carry", "input[1].type")
        assert "`store: false`" in refused["message"]
    check_records(here.generations(12 if provider == "messages" else 13), seen, FORMATS[provider])


def check_answers(seen: dict[str, Any]) -> None:
    plain, streamed = seen["plain"], seen["streamed"]
    assert json.loads(plain["text"])["order_id"] == "A-1007"
    assert plain["release"] == "support-reply#1"
    assert plain["finish"] == "stop"
    assert min(plain["tokens"]) > 0
    assert streamed == {**plain, "generation": streamed["generation"]}
    assert seen["object"] == seen["streamedObject"] == {"order_id": "A-1007", "verdict": "late"}
    assert json.loads(seen["turns"])["order_id"] == "B-2002"
    assert (seen["parts"].count("text-delta") > 0, seen["parts"][-1]) == (True, "abort")


def check_tool_loops(seen: dict[str, Any]) -> None:
    for name in ("loop", "streamedLoop"):
        assert seen[name]["steps"] == [CALL, ANSWER]
        assert json.loads(seen[name]["text"])["order_id"] == "A-1007"
        assert seen[name]["tokens"] > 0
    assert seen["looked"] == ["A-1007", "A-1007"]
    assert {"tool-input-start", "tool-input-delta", "tool-call", "tool-result"} <= set(seen["kinds"])


def check_errors(seen: dict[str, Any], *, missing: str) -> None:
    assert seen["pinned"] == seen["streamedPinned"]
    assert seen["pinned"].items() >= {**PINNED, "type": "invalid_request_error"}.items()
    assert "pins `temperature`" in seen["pinned"]["message"]
    unknown = {"status": 404, "type": missing, "same": True, "param": "model", "code": "model_not_found"}
    assert seen["unknown"].items() >= unknown.items()
    assert "support-reply" in seen["unknown"]["message"]


def check_records(events: list[Any], seen: dict[str, Any], format: str) -> None:  # noqa: A002 - the field's word
    assert {event.format for event in events} <= {format, "embeddings"}
    assert [event.status for event in events][:9] == ["ok"] * 9
    assert events[-1].status == "aborted"
    assert seen["plain"]["text"].startswith(events[-1].output)
    plain, streamed = events[:2]
    assert [plain.id, streamed.id] == [seen["plain"]["generation"], seen["streamed"]["generation"]]
    assert plain.output == streamed.output == seen["plain"]["text"]
    assert (plain.stream, streamed.stream) == (False, True)
    assert [plain.input_tokens, plain.output_tokens] == seen["plain"]["tokens"]
    assert plain.variables == {"shop": "Acme"}
    for called, answered in (events[2:4], events[4:6]):
        (call,) = called.tool_calls
        told = json.dumps(answered.messages)
        assert call["function"]["name"] == "findOrder"
        assert call["id"] in told
        assert "Blue Ox" in told
        assert json.loads(answered.output)["order_id"] == "A-1007"
