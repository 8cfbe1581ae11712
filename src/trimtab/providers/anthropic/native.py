"""A release and a caller's Messages body become one Messages request: nothing is translated but what the release pins.

Parameters of a release are in the names of chat completions (`parameters` says what each becomes) or in Anthropic's
own where chat has none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trimtab.core.errors import InputError
from trimtab.providers.anthropic.fields import MESSAGES_FIELDS
from trimtab.providers.anthropic.parameters import ONLY_STRICT, messages_fields
from trimtab.providers.anthropic.request_from_chat import missing_max_tokens
from trimtab.providers.anthropic.turns import turns_from_chat
from trimtab.providers.openai.fields import OURS, pinned_parameters
from trimtab.providers.strictness import object_of, objects_of, text_of, uncarried, unknown_field

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from trimtab.artifacts.model import SchemaContent, ToolsContent
    from trimtab.releases.model import CompiledRelease

__all__ = [
    "MessagesRequestBuilder",
    "merge_request",
    "messages_tools",
    "recorded_messages",
    "unit_of",
    "without_met_ceiling",
]

_KNOWN = MESSAGES_FIELDS | {OURS}
_FORMAT = "output_config.format"


class MessagesRequestBuilder:
    """Makes the Messages requests of one release; what the release pins is put together once."""

    __slots__ = ("_format", "_label", "_model", "_pinned")

    def __init__(self, release: CompiledRelease) -> None:
        """Raises `InputError`: `reserved_parameter`, or `cannot_carry` for what Anthropic has no place for."""
        self._label = f"{release.feature}#{release.number}"
        self._model = release.model.model
        pinned = _pinned(release)
        config = pinned.get("output_config", {})
        self._format = config.get("format")
        self._pinned = pinned

    def build(self, prompt: Sequence[Mapping[str, Any]], body: Mapping[str, Any]) -> dict[str, Any]:
        """Return the request for a rendered prompt and a caller's body; see `merge_request`."""
        system, turns = turns_from_chat(prompt, at="prompt.messages")
        pinned = {**self._pinned, "system": system} if system else self._pinned
        self._check(body, pinned)
        _check_system(body.get("system"))
        sent = body.get("messages")
        messages = [*turns, *(() if sent is None else objects_of(sent, "messages"))]
        if not messages:
            raise InputError(
                "no_messages",
                f"neither {self._label} nor the caller gives a user message",
                param="messages",
                hint="pass `messages`, or add a user message to the prompt",
            )
        request = {**body, **pinned, "model": self._model, "messages": messages}
        request.pop(OURS, None)
        if "output_config" in pinned and body.get("output_config"):
            request["output_config"] = {**body["output_config"], **pinned["output_config"]}
        if request.get("max_tokens") is None:
            raise missing_max_tokens(f"{self._label} does not set it")
        return request

    def _check(self, body: Mapping[str, Any], pinned: Mapping[str, Any]) -> None:
        """Refuse what is unknown or pinned. Of `output_config` a release pins keys; the others stay the caller's."""
        for name in body:
            if name not in _KNOWN:
                raise unknown_field(name, _KNOWN)
            if name in pinned and name != "output_config":
                raise self._pinned_error(name)
        own = body.get("output_config")
        if own is not None:
            for name in object_of(own, "output_config"):
                if name in pinned.get("output_config", {}):
                    raise self._pinned_error(f"output_config.{name}")
        if self._format is not None and "output_format" in body:
            raise self._pinned_error("output_format")

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
    """Return the Messages request for a release.

    System messages of the prompt become `system`; the caller's messages follow the prompt's. Model, parameters, tools
    and schema are the release's where it has them; all else of the caller's body goes on as it came.

    Raises `InputError`, `param` naming the field: `pinned_field`, `unknown_field`, `cannot_carry` (for what the release
    pins), `missing_max_tokens`, `no_messages`, `invalid_type`.
    """
    return MessagesRequestBuilder(release).build(prompt, body)


def without_met_ceiling(body: dict[str, Any], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return a caller's body without a `max_tokens` that the release's own, lower or equal, keeps anyway.

    Anthropic's clients cannot leave `max_tokens` out, so a release that pins it would refuse them all.
    """
    pinned = parameters.get("max_tokens", parameters.get("max_completion_tokens"))
    wanted = body.get("max_tokens")
    if type(pinned) is int and type(wanted) is int and wanted >= pinned:
        return {name: value for name, value in body.items() if name != "max_tokens"}
    return body


def recorded_messages(request: Mapping[str, Any]) -> list[Any]:
    """Return a request's messages as they are written to the journal: `system` first, a message for each block."""
    system = request.get("system") or ()
    blocks = [{"type": "text", "text": system}] if isinstance(system, str) else system
    return [*({"role": "system", "content": block.get("text", "")} for block in blocks), *request["messages"]]


def messages_tools(tools: ToolsContent) -> list[dict[str, Any]]:
    """Return a release's tools in the shape of the Messages API."""
    return [
        {
            "name": tool.name,
            **({"description": tool.description} if tool.description else {}),
            "input_schema": tool.parameters or {"type": "object", "properties": {}},
            **({"strict": True} if tool.strict else {}),
        }
        for tool in tools.tools
    ]


def unit_of(body: Mapping[str, Any]) -> str:
    """Return `metadata.user_id`, empty where there is none; raises `InputError` (`invalid_type`) for a wrong type."""
    metadata = body.get("metadata")
    user = None if metadata is None else object_of(metadata, "metadata").get("user_id")
    return "" if user is None else text_of(user, "metadata.user_id")


def _check_system(system: Any) -> None:  # noqa: ANN401 - any JSON value
    if system is None or isinstance(system, str):
        return
    objects_of(system, "system")


def _pinned(release: CompiledRelease) -> dict[str, Any]:
    pinned = messages_fields(pinned_parameters(release), at="model.parameters.")
    if release.tools is not None:
        pinned["tools"] = messages_tools(release.tools)
    if release.schema is not None:
        pinned["output_config"] = {**pinned.get("output_config", {}), "format": _schema_format(release.schema)}
    return pinned


def _schema_format(schema: SchemaContent) -> dict[str, Any]:
    if not schema.strict:
        raise uncarried(
            "schema.strict",
            why=ONLY_STRICT,
            hint="declare the schema strict, or describe the format in the prompt",
        )
    return {"type": "json_schema", "schema": schema.schema}
