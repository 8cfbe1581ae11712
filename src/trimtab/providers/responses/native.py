"""A release and a caller's Responses body become one request: nothing is translated but what the release pins.

Parameters of a release are in the names of chat completions (`parameters` says what each becomes) or in the Responses
API's own where chat has none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trimtab.core.errors import InputError
from trimtab.providers.openai.fields import OURS, RESERVED_PARAMETERS, pinned_parameters
from trimtab.providers.responses.fields import RESPONSES_FIELDS
from trimtab.providers.responses.messages_to_items import instructed, items_from_chat
from trimtab.providers.responses.parameters import responses_fields
from trimtab.providers.responses.places import place_of_instruction
from trimtab.providers.responses.tools import responses_tool
from trimtab.providers.strictness import object_of, objects_of, text_of, uncarried, unknown_field

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from trimtab.artifacts.model import ToolsContent
    from trimtab.releases.model import CompiledRelease

__all__ = [
    "ResponsesRequestBuilder",
    "merge_request",
    "recorded_messages",
    "responses_tools",
    "unit_of",
    "with_tools_and_schema",
]

_KNOWN = RESPONSES_FIELDS | {OURS}
_RESERVED = (RESERVED_PARAMETERS - {"messages"}) | {"input", "instructions", "messages", "store"}
_SHARED = ("reasoning", "text")
"""Objects of which a release pins keys; the others stay the caller's."""
_STORED = ("conversation", "previous_response_id")
_INSTRUCTING = frozenset({"developer", "system"})


class ResponsesRequestBuilder:
    """Makes the Responses requests of one release; what the release pins is put together once."""

    __slots__ = ("_instructs", "_label", "_model", "_pinned", "_says")

    def __init__(self, release: CompiledRelease) -> None:
        """Raises `InputError`: `reserved_parameter`, or `cannot_carry` for what the API has no place for."""
        self._label = f"{release.feature}#{release.number}"
        self._model = release.model.model
        self._pinned = _pinned(release)
        self._says = bool(release.prompt.messages)
        self._instructs = any(message.role in _INSTRUCTING for message in release.prompt.messages)

    def build(self, prompt: Sequence[Mapping[str, Any]], body: Mapping[str, Any]) -> dict[str, Any]:
        """Return the request for a rendered prompt and a caller's body; see `merge_request`."""
        self._check(body)
        sent = _sent(body)
        stored = next((name for name in _STORED if body.get(name) is not None), None)
        first = items_from_chat(prompt, at="prompt.messages")
        if not (first or sent or stored or body.get("prompt")):
            raise InputError(
                "no_messages",
                f"neither {self._label} nor the caller gives a message",
                param="input",
                hint="pass `input`, or add a message to the prompt",
            )
        request = {**body, **self._pinned, "model": self._model}
        request.pop(OURS, None)
        instructions, items = instructed(first, followed=bool(sent or stored))
        if stored and items:
            raise self._repeated(stored)
        if instructions is not None:
            request["instructions"] = instructions
        if items:
            request["input"] = [*items, *sent]
        for name in _SHARED:
            if name in self._pinned and body.get(name):
                request[name] = {**body[name], **self._pinned[name]}
        return request

    def _check(self, body: Mapping[str, Any]) -> None:
        """Refuse what is unknown or pinned."""
        for name, value in body.items():
            if name not in _KNOWN:
                raise unknown_field(name, _KNOWN)
            if name not in self._pinned:
                continue
            if name not in _SHARED:
                raise self._pinned_error(name)
            for key in () if value is None else object_of(value, name):
                if key in self._pinned[name]:
                    raise self._pinned_error(f"{name}.{key}")
        if self._says and body.get("prompt") is not None:
            raise self._pinned_error("prompt")
        if self._instructs and (place := place_of_instruction(body)) != "input":
            raise self._pinned_error(place)

    def _repeated(self, stored: str) -> InputError:
        return uncarried(
            stored,
            why=f"the prompt of {self._label} is more than one system message, and would be said again in every turn",
            hint="send the whole conversation in `input`, or make the prompt one system message",
        )

    def _pinned_error(self, field: str) -> InputError:
        return InputError(
            "pinned_field",
            f"release {self._label} pins `{field}`; the caller may not set it",
            param=field,
            hint=f"leave `{field}` out, or take it out of the release",
        )


def merge_request(
    release: CompiledRelease, prompt: Sequence[Mapping[str, Any]], body: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the Responses request for a release.

    A prompt that is one system message becomes `instructions`, any other the first items of `input`. Model,
    parameters, tools and schema are the release's where it has them; all else of the caller's body goes on as it came.

    Raises `InputError`, `param` naming the field: `pinned_field`, `unknown_field`, `cannot_carry` (for what the release
    pins, and for a stored conversation that the prompt would be added to again), `no_messages`, `invalid_type`.
    """
    return ResponsesRequestBuilder(release).build(prompt, body)


def recorded_messages(request: Mapping[str, Any]) -> list[Any]:
    """Return a request's messages as they are written to the journal: `instructions` first."""
    instructions = request.get("instructions")
    first = [] if instructions is None else [{"role": "system", "content": instructions}]
    return [*first, *_sent(request)]


def responses_tools(tools: ToolsContent) -> list[dict[str, Any]]:
    """Return a release's tools in the shape of the Responses API."""
    return [
        responses_tool(
            {
                "type": "function",
                "function": {
                    "name": tool.name,
                    "description": tool.description or None,
                    "parameters": tool.parameters,
                    "strict": tool.strict,
                },
            },
            f"tools[{index}]",
        )
        for index, tool in enumerate(tools.tools)
    ]


def unit_of(body: Mapping[str, Any]) -> str:
    """Return `user`, else `safety_identifier`, else nothing; raises `InputError` (`invalid_type`) for a wrong type."""
    for name in ("user", "safety_identifier"):
        value = body.get(name)
        if value is not None:
            return text_of(value, name)
    return ""


def _sent(body: Mapping[str, Any]) -> list[Any]:
    """Return a body's input as items."""
    value = body.get("input")
    if value is None:
        return []
    return [{"role": "user", "content": value}] if isinstance(value, str) else objects_of(value, "input")


def with_tools_and_schema(fields: Mapping[str, Any], release: CompiledRelease) -> dict[str, Any]:
    """Return fields of a request with those that say a release's tools and schema."""
    pinned = dict(fields)
    if release.tools is not None:
        pinned["tools"] = responses_tools(release.tools)
    if release.schema is not None:
        schema = release.schema
        wanted = {"type": "json_schema", "name": schema.name, "schema": schema.schema, "strict": schema.strict}
        pinned["text"] = {**pinned.get("text", {}), "format": wanted}
    return pinned


def _pinned(release: CompiledRelease) -> dict[str, Any]:
    fields = responses_fields(pinned_parameters(release, _RESERVED), at="model.parameters.")
    return with_tools_and_schema(fields, release)
