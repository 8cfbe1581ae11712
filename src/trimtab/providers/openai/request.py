"""The request that goes upstream: the release decides what it pins, the caller the rest, and nothing is dropped."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any, Final

from trimtab.core.errors import InputError
from trimtab.providers.openai.fields import CHAT_FIELDS, CONFLICTS, EMBEDDINGS_FIELDS, OURS, pinned_parameters

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from trimtab.releases.model import CompiledRelease

__all__ = ["ChatRequestBuilder", "build_embeddings_request", "build_request", "wants_usage"]

_INSTRUCTING: Final = frozenset({"system", "developer"})
_TURNS: Final = frozenset({"user", "assistant", "tool", "function"})
_CHAT_AND_OURS: Final = CHAT_FIELDS | {OURS}


class ChatRequestBuilder:
    """Makes the chat completions requests of one release; what the release pins is put together once."""

    __slots__ = ("_instructs", "_label", "_pinned", "_refused")

    def __init__(self, release: CompiledRelease) -> None:
        """Raises `InputError` (`reserved_parameter`) where the release pins what every call decides."""
        self._label = f"{release.feature}#{release.number}"
        pinned = _pinned(release)
        self._refused = {name: name for name in pinned}
        for name in pinned:
            for other in CONFLICTS.get(name, ()):
                self._refused.setdefault(other, name)
        self._pinned = {**pinned, "model": release.model.model}
        self._instructs = any(message.role in _INSTRUCTING for message in release.prompt.messages)

    def build(self, prompt: Sequence[dict[str, Any]], body: dict[str, Any]) -> dict[str, Any]:
        """Return the request for a rendered prompt and a caller's body; see `build_request`."""
        if not (body.keys() <= _CHAT_AND_OURS and self._refused.keys().isdisjoint(body)):
            raise _wrong_field(self._label, body, self._refused, CHAT_FIELDS)
        sent = body.get("messages", ())
        try:
            for message in sent:
                if message["role"] not in _TURNS:
                    _check_messages(self._label, sent, instructed=self._instructs)
                    break
        except (TypeError, KeyError):
            _check_messages(self._label, sent, instructed=self._instructs)
        messages = [*prompt, *sent]
        if not messages:
            raise InputError("no_messages", "neither the release nor the caller gives a message", param="messages")
        request = {**body, **self._pinned, "messages": messages}
        if OURS in body:
            del request[OURS]
        if body.get("stream"):
            request["stream_options"] = {**_stream_options(body), "include_usage": True}
        return request


def build_request(
    release: CompiledRelease, rendered_messages: Sequence[dict[str, Any]], caller_body: dict[str, Any]
) -> dict[str, Any]:
    """Return the chat completions request for a release.

    The release's messages come first, then the caller's. Model, parameters, tools and response format are the
    release's where it has them. A streamed request asks for usage, whoever wants it (see `wants_usage`).

    Raises `InputError`, `param` naming the field: `pinned_field` where the caller sets what the release pins,
    `unknown_field` for what is no OpenAI field, `invalid_type` and `no_messages`.
    """
    return ChatRequestBuilder(release).build(rendered_messages, caller_body)


def build_embeddings_request(release: CompiledRelease, caller_body: dict[str, Any]) -> dict[str, Any]:
    """Return the embeddings request for a release; raises `InputError` as `build_request` does."""
    pinned = dict(release.model.parameters)
    refused = {name: name for name in pinned}
    if not (caller_body.keys() <= {*EMBEDDINGS_FIELDS, OURS} and refused.keys().isdisjoint(caller_body)):
        raise _wrong_field(f"{release.feature}#{release.number}", caller_body, refused, EMBEDDINGS_FIELDS)
    if "input" not in caller_body:
        raise InputError("missing_field", "an embeddings request needs `input`", param="input")
    return {
        **{name: value for name, value in caller_body.items() if name != OURS},
        **pinned,
        "model": release.model.model,
    }


def wants_usage(caller_body: dict[str, Any]) -> bool:
    """Return whether the caller itself asked for the usage chunk of a stream."""
    return bool(_stream_options(caller_body).get("include_usage"))


def _stream_options(caller_body: dict[str, Any]) -> dict[str, Any]:
    options = caller_body.get("stream_options") or {}
    if not isinstance(options, dict):
        raise InputError("invalid_type", "`stream_options` must be an object", param="stream_options")
    return options


def _pinned(release: CompiledRelease) -> dict[str, Any]:
    pinned = pinned_parameters(release)
    if release.tools is not None:
        pinned["tools"] = [
            _tool(tool.name, tool.description, tool.parameters, tool.strict) for tool in release.tools.tools
        ]
    if release.schema is not None:
        schema = {"name": release.schema.name, "schema": release.schema.schema, "strict": release.schema.strict}
        pinned["response_format"] = {"type": "json_schema", "json_schema": schema}
    return pinned


def _tool(name: str, description: str, parameters: dict[str, Any], strict: bool) -> dict[str, Any]:  # noqa: FBT001
    function: dict[str, Any] = {"name": name}
    if description:
        function["description"] = description
    if parameters:
        function["parameters"] = parameters
    if strict:
        function["strict"] = True
    return {"type": "function", "function": function}


def _wrong_field(label: str, body: dict[str, Any], refused: Mapping[str, str], known: frozenset[str]) -> InputError:
    """Return the error of a body that holds what is unknown or pinned."""
    for name in body:
        if name in refused:
            return _pinned_error(label, name, refused[name])
        if name not in known and name != OURS:
            return _unknown_field(name, known)
    raise AssertionError(body)


def _check_messages(label: str, messages: Any, *, instructed: bool) -> None:  # noqa: ANN401 - any JSON value
    if not isinstance(messages, list | tuple):
        raise InputError("invalid_type", "`messages` must be an array", param="messages")
    for index, message in enumerate(messages):
        role = message.get("role") if isinstance(message, dict) else None
        if not isinstance(role, str):
            raise InputError(
                "invalid_type", "a message must be an object with a `role`", param=f"messages[{index}].role"
            )
        if instructed and role in _INSTRUCTING:
            raise _pinned_error(label, f"messages[{index}].role", f"{role} message")


def _pinned_error(label: str, field: str, what: str) -> InputError:
    return InputError(
        "pinned_field",
        f"release {label} pins `{what}`; the caller may not set it",
        param=field,
        hint=f"leave `{field}` out, or take it out of the release",
    )


def _unknown_field(name: str, known: frozenset[str]) -> InputError:
    close = difflib.get_close_matches(name, sorted(known | {OURS}), n=1)
    return InputError(
        "unknown_field",
        f"`{name}` is not a field of this request",
        param=name,
        hint=f"did you mean `{close[0]}`?" if close else "Trimtab's own options go into `trimtab`",
    )
