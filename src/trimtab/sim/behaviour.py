"""From a request to an answer: pure, seeded, the same every time."""

from __future__ import annotations

import fnmatch
import re
from typing import TYPE_CHECKING, Any

import minijinja
import msgspec

from trimtab.sim.config import DEFAULT_RULES, Rule, SimConfig
from trimtab.sim.draw import latency_ms, uniform
from trimtab.sim.schema_example import example

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ["REJECTED", "ChatRequest", "SimAnswer", "answer"]

_ORDER = re.compile(r"\b[A-Z]{1,3}-?\d{2,}\b")
_FILLER = (
    "Let us know if anything is unclear.",
    "We are glad to help with anything else.",
    "Thank you for your patience in this matter.",
    "Please keep this message for your records.",
)
_environment = minijinja.Environment()
REJECTED = "unsupported_parameter"
"""Code of the error for a field that a model does not take."""


class ChatRequest(msgspec.Struct, frozen=True):
    """What of a chat completions request decides the answer."""

    model: str
    messages: list[dict[str, Any]]
    user: str = ""
    safety_identifier: str = ""
    stream: bool = False
    stream_options: dict[str, Any] | None = None
    tools: list[dict[str, Any]] = []
    tool_choice: str | dict[str, Any] | None = None
    response_format: dict[str, Any] | None = None
    n: int = 1

    def text(self, *roles: str) -> str:
        """Return the text of all messages in these roles."""
        return "\n".join(_content(message) for message in self.messages if message.get("role") in roles)

    @property
    def question(self) -> str:
        """Text of the last user message."""
        return next((_content(message) for message in reversed(self.messages) if message.get("role") == "user"), "")


class SimAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What the simulator says, and when."""

    text: str = ""
    tool_call: tuple[str, str] | None = None
    """Name and arguments (JSON text)."""
    refused: bool = False
    error_status: int = 0
    """An HTTP status instead of an answer; 0 for none."""
    error_code: str = ""
    error_message: str = ""
    latency_ms: float = 0.0
    rule: str = ""


def answer(config: SimConfig, request: ChatRequest, *, fields: Collection[str] = ()) -> SimAnswer:
    """Return the answer that seed, request and user decide; `fields` are all that the request has."""
    holding = [rule for rule in (*config.rules, *DEFAULT_RULES) if _holds(rule, request)]
    rule = holding[0]
    rejected = next((name for name in rule.rejects if name in fields), None)
    if rejected is not None:
        return _rejection(rule, rejected)
    seed = str(config.seed)
    unit = request.user or request.safety_identifier
    request_key = msgspec.json.encode([request.model, unit, request.messages]).decode()
    key = unit if rule.draw_by == "user" and unit else request_key

    def happens(kind: str, rate: float) -> bool:
        return rate > 0.0 and uniform(seed, rule.name, kind, key) < rate

    delay = latency_ms(
        uniform(seed, rule.name, "latency", request_key), median_ms=rule.latency.median_ms, p95_ms=rule.latency.p95_ms
    )
    if uniform(seed, rule.name, "error", request_key) < rule.error_rate:
        message = f"simulated failure of rule `{rule.name}`"
        return SimAnswer(
            error_status=rule.error_status,
            error_code=_ERROR_CODES.get(rule.error_status, "simulated_error"),
            error_message=message,
            latency_ms=delay,
            rule=rule.name,
        )
    tool = _tool_called(request, by_rate=happens("tool", rule.tool_call_rate))
    if tool is not None:
        arguments = example(tool.get("parameters") or {}, request.question, order=_order_id(request))
        call = (str(tool.get("name", "")), msgspec.json.encode(arguments).decode())
        return SimAnswer(tool_call=call, latency_ms=delay, rule=rule.name)
    if happens("refusal", rule.refusal_rate):
        return SimAnswer(text=rule.refusal, refused=True, latency_ms=delay, rule=rule.name)
    if happens("empty", rule.empty_rate):
        return SimAnswer(latency_ms=delay, rule=rule.name)
    speaker = next((one for one in holding if one.answer), DEFAULT_RULES[-1])
    text = _compose(config, speaker, request, request_key, verbosity=rule.verbosity)
    if happens("invalid-json", rule.invalid_json_rate):
        text = text.rstrip("}] \n")
    if happens("fence", rule.fence_rate):
        text = f"```json\n{text}\n```"
    if happens("preamble", rule.preamble_rate):
        text = rule.preamble + text
    return SimAnswer(text=text, latency_ms=delay, rule=rule.name)


def _rejection(rule: Rule, name: str) -> SimAnswer:
    return SimAnswer(
        error_status=400,
        error_code=REJECTED,
        error_message=f"Unsupported parameter: '{name}' is not supported with this model.",
        rule=rule.name,
    )


_ERROR_CODES = {
    400: "invalid_request_error",
    401: "invalid_api_key",
    404: "model_not_found",
    429: "rate_limit_exceeded",
    500: "server_error",
    503: "overloaded",
}


def _holds(rule: Rule, request: ChatRequest) -> bool:
    when = rule.when
    return (
        (not when.model or fnmatch.fnmatchcase(request.model, when.model))
        and when.system_contains.lower() in request.text("system", "developer").lower()
        and when.user_contains.lower() in request.question.lower()
    )


def _compose(config: SimConfig, rule: Rule, request: ChatRequest, request_key: str, *, verbosity: float) -> str:
    template: Any = rule.answer
    picks = 0

    def pick(*choices: str) -> str:
        nonlocal picks
        picks += 1
        return choices[int(uniform(str(config.seed), rule.name, f"pick{picks}", request_key) * len(choices))]

    context = {
        "user": request.question,
        "system": request.text("system", "developer"),
        "model": request.model,
        "unit": request.user or request.safety_identifier,
        "order_id": _order_id(request),
        "pick": pick,
    }
    schema = _schema(request)
    fits = not isinstance(template, dict) or not schema or template.keys() <= (schema.get("properties") or {}).keys()
    if schema is not None and (template == "" or (rule in DEFAULT_RULES and not fits)):
        template = example(schema, request.question, order=_order_id(request))
        return msgspec.json.encode(_lengthened(template, verbosity)).decode()
    if template == "":
        template = "You wrote: {{ user }}"
    rendered = _rendered(template, context)
    if isinstance(rendered, str):
        return _stretch(rendered, verbosity)
    return msgspec.json.encode(_lengthened(rendered, verbosity)).decode()


def _rendered(template: Any, context: dict[str, Any]) -> Any:  # noqa: ANN401 - any JSON value
    match template:
        case str():
            return _environment.render_str(template, **context)
        case dict():
            return {name: _rendered(value, context) for name, value in template.items()}
        case list():
            return [_rendered(value, context) for value in template]
        case _:
            return template


def _lengthened(value: Any, verbosity: float) -> Any:  # noqa: ANN401 - any JSON value
    """Return `value` with its longest text made longer or shorter."""
    if not isinstance(value, dict):
        return value
    texts = [name for name, text in value.items() if isinstance(text, str)]
    if not texts:
        return value
    longest = max(texts, key=lambda name: len(value[name]))
    return {**value, longest: _stretch(value[longest], verbosity)}


def _stretch(text: str, verbosity: float) -> str:
    if verbosity == 1.0:
        return text
    words = text.split(" ")
    wanted = max(1, round(len(words) * verbosity))
    index = 0
    while len(words) < wanted:
        words += _FILLER[index % len(_FILLER)].split(" ")
        index += 1
    return " ".join(words[:wanted])


def _tool_called(request: ChatRequest, *, by_rate: bool) -> dict[str, Any] | None:
    functions = [tool["function"] for tool in request.tools if isinstance(tool.get("function"), dict)]
    answered = bool(request.messages) and request.messages[-1].get("role") == "tool"
    choice = request.tool_choice
    if not functions or choice == "none" or answered:
        return None
    if isinstance(choice, dict):
        name = (choice.get("function") or {}).get("name")
        return next((function for function in functions if function.get("name") == name), None)
    return functions[0] if choice == "required" or by_rate else None


def _schema(request: ChatRequest) -> dict[str, Any] | None:
    response_format = request.response_format or {}
    if response_format.get("type") == "json_object":
        return {}
    schema = (response_format.get("json_schema") or {}).get("schema")
    return schema if isinstance(schema, dict) else None


def _order_id(request: ChatRequest) -> str:
    match = _ORDER.search(request.question)
    return match.group() if match else ""


def _content(message: dict[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""
