"""LangChain, LlamaIndex and LiteLLM against a gateway: `python frameworks.py NAME BASE_URL` prints what it saw."""

from __future__ import annotations

import json
import sys
from typing import Any

QUESTION = "Where is order A-1007?"
EXTRA = {"trimtab": {"variables": {"shop": "Acme"}}}


def langchain_openai(base: str) -> dict[str, Any]:
    from langchain_core.tools import tool
    from langchain_openai import ChatOpenAI

    @tool
    def find_order(order_id: str) -> str:
        """Find an order by its number."""
        return order_id

    plain = ChatOpenAI(
        model="support-reply", base_url=base, api_key="none", extra_body=EXTRA, max_retries=0, stream_usage=True
    )
    answer = plain.invoke(QUESTION)
    streamed = list(plain.stream(QUESTION))
    called = plain.bind_tools([find_order], tool_choice="find_order").invoke(QUESTION)
    return {
        "text": answer.text,
        "tokens": answer.usage_metadata["output_tokens"],
        "streamed": "".join(chunk.text for chunk in streamed),
        "tool": called.tool_calls[0]["name"],
    }


def langchain_responses(base: str) -> dict[str, Any]:
    from langchain_openai import ChatOpenAI

    plain = ChatOpenAI(
        model="support-reply", base_url=base, api_key="none", extra_body=EXTRA, max_retries=0, use_responses_api=True
    )
    answer = plain.invoke(QUESTION)
    streamed = "".join(chunk.text for chunk in plain.stream(QUESTION))
    return {"text": answer.text, "tokens": answer.usage_metadata["output_tokens"], "streamed": streamed}


def langchain_anthropic(base: str) -> dict[str, Any]:
    from langchain_anthropic import ChatAnthropic

    plain = ChatAnthropic(
        model="support-reply",
        base_url=base.removesuffix("/v1"),
        api_key="none",
        max_tokens=200,
        max_retries=0,
        model_kwargs={"extra_body": EXTRA},
    )
    answer = plain.invoke(QUESTION)
    streamed = "".join(chunk.text for chunk in plain.stream(QUESTION))
    return {"text": answer.text, "tokens": answer.usage_metadata["output_tokens"], "streamed": streamed}


def llama_index(base: str) -> dict[str, Any]:
    from llama_index.core.llms import ChatMessage
    from llama_index.core.tools import FunctionTool
    from llama_index.llms.openai_like import OpenAILike

    def find_order(order_id: str) -> str:
        """Find an order by its number."""
        return order_id

    llm = OpenAILike(
        model="support-reply",
        api_base=base,
        api_key="none",
        is_chat_model=True,
        is_function_calling_model=True,
        max_retries=0,
        additional_kwargs={"extra_body": EXTRA},
    )
    ask = [ChatMessage(role="user", content=QUESTION)]
    answer = llm.chat(ask)
    streamed = "".join(piece.delta or "" for piece in llm.stream_chat(ask))
    tools = [FunctionTool.from_defaults(find_order)]
    called = llm.chat_with_tools(tools, user_msg=QUESTION, tool_required=True)
    return {
        "text": answer.message.content,
        "tokens": answer.raw.usage.completion_tokens,
        "streamed": streamed,
        "tool": llm.get_tool_calls_from_response(called)[0].tool_name,
    }


def litellm_openai(base: str) -> dict[str, Any]:
    return _litellm(model="openai/support-reply", api_base=base)


def litellm_anthropic(base: str) -> dict[str, Any]:
    return _litellm(model="anthropic/support-reply", api_base=base.removesuffix("/v1"), max_tokens=200)


def _litellm(**options: Any) -> dict[str, Any]:
    import litellm

    options |= {"api_key": "none", "num_retries": 0, "extra_headers": {"x-trimtab-variables": '{"shop": "Acme"}'}}
    ask = [{"role": "user", "content": QUESTION}]
    answer = litellm.completion(messages=ask, **options)
    pieces = litellm.completion(messages=ask, stream=True, **options)
    streamed = "".join(piece.choices[0].delta.content or "" for piece in pieces)
    return {"text": answer.choices[0].message.content, "tokens": answer.usage.completion_tokens, "streamed": streamed}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(globals()[sys.argv[1]](sys.argv[2])) + "\n")
