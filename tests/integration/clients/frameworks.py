"""LangChain, LlamaIndex and LiteLLM against a gateway: `python frameworks.py NAME BASE_URL` prints what it saw."""

from __future__ import annotations

import functools
import json
import operator
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

QUESTION = "Where is order A-1007?"
RESULT = '{"carrier": "Blue Ox"}'
VARIABLES = {"shop": "Acme"}
EXTRA = {"trimtab": {"variables": VARIABLES}}
RELEASE = "x-trimtab-release"


def langchain_openai(base: str) -> dict[str, Any]:
    return _langchain_openai(base, stream_usage=True)


def langchain_responses(base: str) -> dict[str, Any]:
    return _langchain_openai(base, use_responses_api=True)


def _langchain_openai(base: str, **options: Any) -> dict[str, Any]:
    from langchain_openai import ChatOpenAI

    options |= {"base_url": base, "extra_body": EXTRA, "include_response_headers": True}
    chat = ChatOpenAI(model="support-reply", api_key="none", max_retries=0, **options)
    return _langchain(chat)


def langchain_anthropic(base: str) -> dict[str, Any]:
    from langchain_anthropic import ChatAnthropic

    chat = ChatAnthropic(
        model="support-reply",
        base_url=base.removesuffix("/v1"),
        api_key="none",
        max_tokens=200,
        max_retries=0,
        model_kwargs={"extra_body": EXTRA},
    )
    return _langchain(chat)


def _langchain(chat: Any) -> dict[str, Any]:
    from langchain_core.messages import HumanMessage, ToolMessage
    from langchain_core.tools import tool

    @tool
    def find_order(order_id: str) -> str:
        """Find an order by its number."""
        return order_id

    answer = chat.invoke(QUESTION)
    streamed = functools.reduce(operator.add, chat.stream(QUESTION))
    tooled = chat.bind_tools([find_order])
    called = tooled.invoke(QUESTION)
    piecewise = functools.reduce(operator.add, tooled.stream(QUESTION))
    told = ToolMessage(RESULT, tool_call_id=called.tool_calls[0]["id"])
    answered = tooled.invoke([HumanMessage(QUESTION), called, told])
    return {
        "text": answer.text,
        "tokens": answer.usage_metadata["output_tokens"],
        "streamed": streamed.text,
        "streamed_tokens": streamed.usage_metadata["output_tokens"],
        "calls": [[said.tool_calls[0]["name"], said.tool_calls[0]["args"]] for said in (called, piecewise)],
        "answered": answered.text,
        "release": answer.response_metadata.get("headers", {}).get(RELEASE),  # Anthropic's shows none
        "refused": _refused(lambda: chat.invoke(QUESTION, top_p=0.5)),
    }


def llama_index(base: str) -> dict[str, Any]:
    import httpx
    from llama_index.core.llms import ChatMessage
    from llama_index.core.tools import FunctionTool
    from llama_index.llms.openai_like import OpenAILike

    def find_order(order_id: str) -> str:
        """Find an order by its number."""
        return order_id

    releases: list[str | None] = []
    llm = OpenAILike(
        model="support-reply",
        api_base=base,
        api_key="none",
        is_chat_model=True,
        is_function_calling_model=True,
        max_retries=0,
        additional_kwargs={"extra_body": EXTRA},
        http_client=httpx.Client(event_hooks={"response": [lambda got: releases.append(got.headers.get(RELEASE))]}),
    )
    ask = [ChatMessage(role="user", content=QUESTION)]
    answer = llm.chat(ask)
    streamed = list(llm.stream_chat(ask, stream_options={"include_usage": True}))
    tools = [FunctionTool.from_defaults(find_order)]
    called = llm.chat_with_tools(tools, chat_history=ask)
    *_, piecewise = llm.stream_chat_with_tools(tools, chat_history=ask)
    calls = [llm.get_tool_calls_from_response(said)[0] for said in (called, piecewise)]
    told = ChatMessage(role="tool", content=RESULT, additional_kwargs={"tool_call_id": calls[0].tool_id})
    answered = llm.chat_with_tools(tools, chat_history=[*ask, called.message, told])
    return {
        "text": answer.message.content,
        "tokens": answer.raw.usage.completion_tokens,
        "streamed": "".join(piece.delta or "" for piece in streamed),
        "streamed_tokens": streamed[-1].raw.usage.completion_tokens,
        "calls": [[call.tool_name, call.tool_kwargs] for call in calls],
        "answered": answered.message.content,
        "release": releases[0],
        "refused": _refused(lambda: llm.chat(ask, top_p=0.5)),
    }


def litellm_openai(base: str) -> dict[str, Any]:
    return _litellm(model="openai/support-reply", api_base=base)


def litellm_anthropic(base: str) -> dict[str, Any]:
    return _litellm(model="anthropic/support-reply", api_base=base.removesuffix("/v1"), max_tokens=200)


def _litellm(**options: Any) -> dict[str, Any]:
    import litellm

    options |= {"api_key": "none", "num_retries": 0, "extra_headers": {"x-trimtab-variables": json.dumps(VARIABLES)}}
    ask: list[Any] = [{"role": "user", "content": QUESTION}]
    order = {"type": "object", "properties": {"order_id": {"type": "string"}}, "required": ["order_id"]}
    tools = [{"type": "function", "function": {"name": "find_order", "parameters": order}}]

    def streamed(**more: Any) -> Any:
        pieces = list(litellm.completion(messages=ask, stream=True, stream_options={"include_usage": True}, **more))
        return litellm.stream_chunk_builder(pieces)

    answer = litellm.completion(messages=ask, **options)
    whole = streamed(**options)
    called = litellm.completion(messages=ask, tools=tools, **options)
    piecewise = streamed(tools=tools, **options)
    message = called.choices[0].message
    told = {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": RESULT}
    answered = litellm.completion(messages=[*ask, message, told], tools=tools, **options)
    functions = [said.choices[0].message.tool_calls[0].function for said in (called, piecewise)]
    return {
        "text": answer.choices[0].message.content,
        "tokens": answer.usage.completion_tokens,
        "streamed": whole.choices[0].message.content,
        "streamed_tokens": whole.usage.completion_tokens,
        "calls": [[function.name, json.loads(function.arguments)] for function in functions],
        "answered": answered.choices[0].message.content,
        "release": answer._hidden_params["additional_headers"][f"llm_provider-{RELEASE}"],
        "refused": _refused(lambda: litellm.completion(messages=ask, top_p=0.5, **options)),
    }


def _refused(call: Callable[[], Any]) -> dict[str, Any]:
    """What an error shows; LiteLLM keeps the headers apart from the response that it makes up."""
    try:
        call()
    except Exception as error:  # noqa: BLE001 - each framework has classes of its own
        shown: Any = error
        headers = getattr(shown, "litellm_response_headers", None) or shown.response.headers
        return {
            "classes": [one.__name__ for one in type(error).__mro__],
            "status": shown.status_code,
            "said": f"{error} {shown.body}",
            "release": headers[RELEASE],
        }
    raise AssertionError("it was not refused")


if __name__ == "__main__":
    sys.stdout.write(json.dumps(globals()[sys.argv[1]](sys.argv[2])) + "\n")
