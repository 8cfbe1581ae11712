"""Function tools and the choice among them, from and to the shape of chat completions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trimtab.providers.strictness import items_of, object_of, refuse_other_fields, text_of, uncarried

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["chat_tool", "chat_tool_choice", "responses_tool", "responses_tool_choice"]

_CHOICES = ("auto", "none", "required")
_MODES = ("auto", "required")
_FUNCTION_FIELDS = frozenset({"description", "name", "parameters", "strict"})
_UNCARRIED_IN_TOOLS = {
    "allowed_callers": "the tools of chat are called by the model alone",
    "async": "the tools of chat are waited for",
    "defer_loading": "the tools of chat are always loaded",
    "output_schema": "the tools of chat do not describe their output",
}
_CUSTOM = "custom tools are not translated; declare a function"


def chat_tool(value: Any, at: str) -> dict[str, Any]:  # noqa: ANN401 - any JSON value
    """Return a function tool as chat declares it; raises `InputError` for any other tool and what chat cannot say."""
    tool = object_of(value, at)
    _only_functions(tool, at, other="chat completions have no built-in tools")
    said = {name: item for name, item in tool.items() if item is not False or name == "strict"}
    refuse_other_fields(said, _FUNCTION_FIELDS | {"type"}, why=_UNCARRIED_IN_TOOLS, at=at)
    text_of(tool.get("name"), f"{at}.name")
    function = {name: tool[name] for name in tool if name in _FUNCTION_FIELDS and tool[name] is not None}
    return {"type": "function", "function": function}


def responses_tool(value: Any, at: str) -> dict[str, Any]:  # noqa: ANN401 - any JSON value
    """Return chat's function tool as the Responses API declares it: not strict unless it says so, as in chat."""
    tool = object_of(value, at)
    _only_functions(tool, at, other="chat completions have no such tool")
    refuse_other_fields(tool, frozenset({"function", "type"}), at=at)
    at = f"{at}.function"
    function = object_of(tool.get("function"), at)
    refuse_other_fields(function, _FUNCTION_FIELDS, at=at)
    translated = {
        "type": "function",
        "name": text_of(function.get("name"), f"{at}.name"),
        "parameters": function.get("parameters") or {"type": "object", "properties": {}},
        "strict": function.get("strict") or False,
    }
    if function.get("description") is not None:
        translated["description"] = function["description"]
    return translated


def chat_tool_choice(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """Return a `tool_choice` in the shape of chat; raises `InputError` for what chat cannot say."""
    return _choice(value, "tool_choice", _chat_named, _chat_allowed)


def responses_tool_choice(value: Any, at: str) -> Any:  # noqa: ANN401 - any JSON value
    """Return chat's `tool_choice` in the shape of the Responses API; raises `InputError` for what it cannot say."""
    return _choice(value, at, _responses_named, _responses_allowed)


def _choice(
    value: Any,  # noqa: ANN401 - any JSON value
    at: str,
    named: Callable[[dict[str, Any], str], dict[str, Any]],
    allowed: Callable[[dict[str, Any], str], dict[str, Any]],
) -> Any:  # noqa: ANN401 - any JSON value
    if isinstance(value, str):
        if value in _CHOICES:
            return value
        raise uncarried(at, why=f"`{value}` is no choice of tools")
    choice = object_of(value, at)
    match choice.get("type"):
        case "function":
            return named(choice, at)
        case "allowed_tools":
            return allowed(choice, at)
        case "custom":
            raise uncarried(f"{at}.type", why=_CUSTOM)
        case kind:
            raise uncarried(f"{at}.type", why=f"`{kind}` can be chosen in one of the two APIs alone")


def _chat_named(choice: dict[str, Any], at: str) -> dict[str, Any]:
    refuse_other_fields(choice, frozenset({"name", "type"}), at=at)
    return {"type": "function", "function": {"name": text_of(choice.get("name"), f"{at}.name")}}


def _responses_named(choice: dict[str, Any], at: str) -> dict[str, Any]:
    refuse_other_fields(choice, frozenset({"function", "type"}), at=at)
    function = object_of(choice.get("function"), f"{at}.function")
    refuse_other_fields(function, frozenset({"name"}), at=f"{at}.function")
    return {"type": "function", "name": text_of(function.get("name"), f"{at}.function.name")}


def _chat_allowed(choice: dict[str, Any], at: str) -> dict[str, Any]:
    refuse_other_fields(choice, frozenset({"mode", "tools", "type"}), at=at)
    return {"type": "allowed_tools", "allowed_tools": _allowed(choice, at, _chat_named)}


def _responses_allowed(choice: dict[str, Any], at: str) -> dict[str, Any]:
    refuse_other_fields(choice, frozenset({"allowed_tools", "type"}), at=at)
    at = f"{at}.allowed_tools"
    allowed = object_of(choice.get("allowed_tools"), at)
    refuse_other_fields(allowed, frozenset({"mode", "tools"}), at=at)
    return {"type": "allowed_tools", **_allowed(allowed, at, _responses_named)}


def _allowed(value: dict[str, Any], at: str, named: Callable[[dict[str, Any], str], dict[str, Any]]) -> dict[str, Any]:
    mode = value.get("mode")
    if mode not in _MODES:
        raise uncarried(f"{at}.mode", why=f"`{mode}` is no mode of allowed tools")
    tools = []
    for index, item in enumerate(items_of(value.get("tools"), f"{at}.tools")):
        where = f"{at}.tools[{index}]"
        tool = object_of(item, where)
        _only_functions(tool, where, other="functions are the tools that both APIs have")
        tools.append(named(tool, where))
    return {"mode": mode, "tools": tools}


def _only_functions(tool: dict[str, Any], at: str, *, other: str) -> None:
    kind = tool.get("type")
    if kind != "function":
        raise uncarried(f"{at}.type", why=_CUSTOM if kind == "custom" else f"{other}, and this is `{kind}`")
