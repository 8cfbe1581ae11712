"""What an upstream says, written in the format of OpenAI's Responses.

Not a test module.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.integration.formats.said import CREATED, SERVED, pieces

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.formats.said import Said

__all__ = ["response", "responses_events"]

_INCOMPLETE = {"length": "max_output_tokens", "filter": "content_filter"}


def _part(said: Said) -> dict[str, Any]:
    if said.refusal:
        return {"type": "refusal", "refusal": said.refusal}
    return {"type": "output_text", "text": said.text, "annotations": [], "logprobs": []}


def _items(said: Said) -> list[dict[str, Any]]:
    last = "incomplete" if said.stop in _INCOMPLETE else "completed"
    thought = {"id": "rs_1", "type": "reasoning", "summary": [{"type": "summary_text", "text": said.thought}]}
    message = {"id": "msg_1", "type": "message", "status": last, "role": "assistant", "content": [_part(said)]}
    calls = [
        {
            "id": f"fc_{call.id}",
            "type": "function_call",
            "status": "completed",
            "call_id": call.id,
            "name": call.name,
            "arguments": call.arguments,
        }
        for call in said.calls
    ]
    speaks = said.text or said.refusal or not said.calls
    return [*([thought] if said.thought else []), *([message] if speaks else []), *calls]


def _response(said: Said, output: list[dict[str, Any]]) -> dict[str, Any]:
    reason = _INCOMPLETE.get(said.stop)
    usage = said.usage
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": CREATED,
        "status": "incomplete" if reason else "completed",
        "error": None,
        "incomplete_details": {"reason": reason} if reason else None,
        "instructions": None,
        "metadata": {},
        "model": SERVED,
        "output": output,
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "usage": {
            "input_tokens": usage.input,
            "input_tokens_details": {"cached_tokens": usage.cached, "cache_write_tokens": usage.cache_written},
            "output_tokens": usage.output,
            "output_tokens_details": {"reasoning_tokens": usage.thinking},
            "total_tokens": usage.input + usage.output,
        },
    }


def response(said: Said) -> dict[str, Any]:
    return _response(said, _items(said))


def responses_events(said: Said) -> Iterator[dict[str, Any]]:
    for number, event in enumerate(_events(said)):
        yield {**event, "sequence_number": number}


def _events(said: Said) -> Iterator[dict[str, Any]]:
    begun = {**_response(said, []), "status": "in_progress", "incomplete_details": None, "usage": None}
    yield {"type": "response.created", "response": begun}
    yield {"type": "response.in_progress", "response": begun}
    for index, item in enumerate(_items(said)):
        at: dict[str, Any] = {"output_index": index}
        yield {"type": "response.output_item.added", **at, "item": _empty(item)}
        if item["type"] != "reasoning":
            yield from _item_events(item, {**at, "item_id": item["id"]})
        yield {"type": "response.output_item.done", **at, "item": item}
    if said.fails:
        failed = {**begun, "status": "failed", "error": {"code": "server_error", "message": said.fails}}
        yield {"type": "response.failed", "response": failed}
        return
    end = response(said)
    yield {"type": f"response.{end['status']}", "response": end}


def _empty(item: dict[str, Any]) -> dict[str, Any]:
    nothing: dict[str, Any] = {"message": {"content": []}, "function_call": {"arguments": ""}, "reasoning": {}}
    return {**item, "status": "in_progress", **nothing[item["type"]]}


def _item_events(item: dict[str, Any], at: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if item["type"] == "function_call":
        for piece in pieces(item["arguments"]):
            yield {"type": "response.function_call_arguments.delta", **at, "delta": piece}
        yield {
            "type": "response.function_call_arguments.done",
            **at,
            "name": item["name"],
            "arguments": item["arguments"],
        }
        return
    at = {**at, "content_index": 0}
    (part,) = item["content"]
    kind = part["type"].removeprefix("output_")
    yield {"type": "response.content_part.added", **at, "part": {**part, kind: ""}}
    name: str
    more: dict[str, Any]
    name, more = ("output_text", {"logprobs": []}) if kind == "text" else ("refusal", {})
    for piece in pieces(part[kind]):
        yield {"type": f"response.{name}.delta", **at, "delta": piece, **more}
    yield {"type": f"response.{name}.done", **at, kind: part[kind], **more}
    yield {"type": "response.content_part.done", **at, "part": part}
