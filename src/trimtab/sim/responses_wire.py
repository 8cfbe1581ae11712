"""OpenAI's Responses: a request as the behaviours see it, and their answers in its wire format."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from trimtab.core.errors import InputError
from trimtab.sim.behaviour import ChatRequest
from trimtab.sim.wire import CREATED, answer_id, halves, shortest, words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trimtab.sim.behaviour import SimAnswer

__all__ = ["ResponsesRequest", "read_responses", "response", "response_events"]

_DEFAULTS: dict[str, Any] = {
    "instructions": None,
    "max_output_tokens": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "reasoning": {"effort": None, "summary": None},
    "temperature": 1.0,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_p": 1.0,
    "truncation": "disabled",
    "user": None,
}
"""What a response repeats of its request, and what it says where the request does not."""
_encode = msgspec.json.encode


class _Tool(msgspec.Struct, frozen=True):
    type: str
    name: str = ""
    parameters: dict[str, Any] | None = None


class _Format(msgspec.Struct, frozen=True):
    type: str = "text"
    schema: dict[str, Any] | None = None


class _Text(msgspec.Struct, frozen=True):
    format: _Format | None = None


class _ResponsesBody(msgspec.Struct, frozen=True):
    """What of a Responses request decides the answer."""

    model: str
    input: str | list[dict[str, Any]] = ""
    instructions: str | None = None
    user: str | None = None
    safety_identifier: str | None = None
    stream: bool | None = None
    tools: list[_Tool] | None = None
    tool_choice: str | dict[str, Any] | None = None
    text: _Text | None = None
    previous_response_id: str | None = None
    conversation: Any = None


class ResponsesRequest(ChatRequest, frozen=True):
    """A Responses request as the chat request that asks the same, with what its response repeats of it."""

    repeated: dict[str, Any] = {}


_decoder = msgspec.json.Decoder(_ResponsesBody)


def read_responses(body: bytes) -> ResponsesRequest:
    """Return a Responses request as the behaviours see it.

    Raises what msgspec does where it is none, `InputError` where it builds on a response: none is stored.
    """
    sent = _decoder.decode(body)
    for name, given in (("previous_response_id", sent.previous_response_id), ("conversation", sent.conversation)):
        if given is not None:
            raise InputError(
                f"{name.removesuffix('_id')}_not_found", f"`{given}` was not found: nothing is stored", param=name
            )
    said: dict[str, Any] = msgspec.json.decode(body)
    first = [{"role": "system", "content": sent.instructions}] if sent.instructions else []
    items = [{"role": "user", "content": sent.input}] if isinstance(sent.input, str) else sent.input
    return ResponsesRequest(
        model=sent.model,
        messages=[*first, *_messages(items)],
        user=sent.user or "",
        safety_identifier=sent.safety_identifier or "",
        stream=bool(sent.stream),
        tools=[
            {"function": {"name": tool.name, "parameters": tool.parameters or {}}}
            for tool in sent.tools or ()
            if tool.type == "function"
        ],
        tool_choice=_choice(sent.tool_choice),
        response_format=_response_format(sent.text),
        repeated={name: _DEFAULTS[name] if said.get(name) is None else said[name] for name in _DEFAULTS},
    )


def response(request: ResponsesRequest, answer: SimAnswer, *, usage: dict[str, int]) -> bytes:
    """Return a complete answer."""
    return _encode(_finished(request, answer, usage))


def response_events(request: ResponsesRequest, answer: SimAnswer, *, usage: dict[str, int]) -> list[bytes]:
    """Return the events of a streamed answer: its one item, one word at a time, and the whole response at the end."""
    return [
        f"event: {event['type']}\ndata: ".encode() + _encode({**event, "sequence_number": number}) + b"\n\n"
        for number, event in enumerate(_events(request, answer, usage))
    ]


# --- requests -----------------------------------------------------------------------------------------------------


def _messages(items: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for item in items:
        match item.get("type", "message"):
            case "message":
                yield {"role": item.get("role"), "content": shortest(item.get("content"))}
            case "function_call":
                call = {"name": item.get("name"), "arguments": item.get("arguments")}
                calls = [{"id": item.get("call_id"), "type": "function", "function": call}]
                yield {"role": "assistant", "content": None, "tool_calls": calls}
            case "function_call_output":
                output = shortest(item.get("output"))
                yield {"role": "tool", "tool_call_id": item.get("call_id"), "content": output}
            case _:  # reasoning, calls of built-in tools: they change nothing of what is answered here
                pass


def _choice(choice: str | dict[str, Any] | None) -> str | dict[str, Any] | None:
    if isinstance(choice, dict):
        return {"type": "function", "function": {"name": choice.get("name")}} if "name" in choice else "auto"
    return choice


def _response_format(text: _Text | None) -> dict[str, Any] | None:
    wanted = text.format if text is not None else None
    if wanted is None or wanted.type == "text":
        return None
    return {"type": wanted.type, "json_schema": {"schema": wanted.schema or {}}}


# --- answers ------------------------------------------------------------------------------------------------------


def _begun(request: ResponsesRequest, answer: SimAnswer) -> dict[str, Any]:
    return {
        "id": f"resp_{answer_id(request, answer)}",
        "object": "response",
        "created_at": CREATED,
        "status": "in_progress",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "model": request.model,
        "output": [],
        "previous_response_id": None,
        "store": False,
        "usage": None,
        **request.repeated,
    }


def _finished(request: ResponsesRequest, answer: SimAnswer, usage: dict[str, int]) -> dict[str, Any]:
    counted = {
        "input_tokens": usage["prompt_tokens"],
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": usage["completion_tokens"],
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": usage["total_tokens"],
    }
    item = _item(request, answer)
    return {**_begun(request, answer), "status": "completed", "output": [item], "usage": counted}


def _item(request: ChatRequest, answer: SimAnswer) -> dict[str, Any]:
    item_id = answer_id(request, answer)
    if answer.tool_call is not None:
        name, arguments = answer.tool_call
        call = {"id": f"fc_{item_id}", "type": "function_call", "status": "completed", "call_id": f"call_{item_id}"}
        return {**call, "name": name, "arguments": arguments}
    message = {"id": f"msg_{item_id}", "type": "message", "status": "completed", "role": "assistant"}
    return {**message, "content": [_part(answer, answer.text)]}


def _part(answer: SimAnswer, text: str) -> dict[str, Any]:
    if answer.refused:
        return {"type": "refusal", "refusal": text}
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _events(request: ResponsesRequest, answer: SimAnswer, usage: dict[str, int]) -> Iterator[dict[str, Any]]:
    begun, item = _begun(request, answer), _item(request, answer)
    yield {"type": "response.created", "response": begun}
    yield {"type": "response.in_progress", "response": begun}
    nothing: dict[str, Any] = {"content": []} if answer.tool_call is None else {"arguments": ""}
    added = {**item, "status": "in_progress", **nothing}
    yield {"type": "response.output_item.added", "output_index": 0, "item": added}
    at = {"item_id": item["id"], "output_index": 0}
    if answer.tool_call is not None:
        name, arguments = answer.tool_call
        for half in halves(arguments):
            yield {"type": "response.function_call_arguments.delta", **at, "delta": half}
        yield {"type": "response.function_call_arguments.done", **at, "name": name, "arguments": arguments}
    else:
        yield from _part_events(answer, {**at, "content_index": 0})
    yield {"type": "response.output_item.done", "output_index": 0, "item": item}
    yield {"type": "response.completed", "response": _finished(request, answer, usage)}


def _part_events(answer: SimAnswer, at: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield {"type": "response.content_part.added", **at, "part": _part(answer, "")}
    name, field = ("refusal", "refusal") if answer.refused else ("output_text", "text")
    more: dict[str, Any] = {} if answer.refused else {"logprobs": []}
    for word in words(answer.text):
        yield {"type": f"response.{name}.delta", **at, "delta": word, **more}
    yield {"type": f"response.{name}.done", **at, field: answer.text, **more}
    yield {"type": "response.content_part.done", **at, "part": _part(answer, answer.text)}
