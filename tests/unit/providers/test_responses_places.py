"""An error about a translation names the place in the request as its caller sent it."""

from __future__ import annotations

from typing import Any

import pytest

from trimtab.core.errors import InputError
from trimtab.providers.responses import in_responses_words, to_chat_request

CALL = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "c", "output": [{"type": "input_text", "text": "x"}]}
SAID = {"role": "assistant", "content": "Hm."}
ASKED = {"role": "user", "content": [{"type": "input_text", "text": "a"}, {"type": "input_image", "image_url": "b"}]}
REFUSED = {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]}


@pytest.mark.parametrize(
    ("items", "param", "told"),
    [
        ([ASKED], "messages[0].content[1].image_url.detail", "input[0].content[1].detail"),
        ([ASKED], "messages[0].content[1].image_url.url", "input[0].content[1].image_url"),
        ([ASKED], "messages[0].content[1].file", "input[0].content[1].type"),
        ([ASKED], "messages[0].content[0].prompt_cache_breakpoint", "input[0].content[0].prompt_cache_breakpoint"),
        ([ASKED, REFUSED], "messages[1].refusal", "input[1].content[0].refusal"),
        ([ASKED, SAID], "messages[1].role", "input[1].role"),
        ([ASKED, SAID, CALL, CALL], "messages[1].tool_calls[1].function.arguments", "input[3].arguments"),
        ([ASKED, SAID, CALL, CALL], "messages[1].content", "input[1].content"),
        ([ASKED, CALL, CALL, OUTPUT], "messages[1].tool_calls[0].id", "input[1].call_id"),
        ([ASKED, CALL, CALL, OUTPUT], "messages[1].tool_calls[1].function.name", "input[2].name"),
        ([ASKED, CALL, OUTPUT, OUTPUT], "messages[3].content[0].text", "input[3].output[0].text"),
        ([ASKED, CALL, OUTPUT], "messages[2].tool_call_id", "input[2].call_id"),
        ([ASKED, CALL, OUTPUT, CALL, OUTPUT], "messages[3].tool_calls[0].function.arguments", "input[3].arguments"),
        ([ASKED], "messages[7].role", "input"),
        ("Hello.", "messages[0].content", "input"),
        ([ASKED], "messages", "input"),
    ],
)
def test_a_place_among_the_messages_is_told_as_one_in_the_input(items: Any, param: str, told: str) -> None:
    body = {"model": "m", "input": items}
    assert to_chat_request(body)["messages"]
    assert in_responses_words(InputError("cannot_carry", f"`{param}` cannot"), body).param is None
    error = in_responses_words(InputError("cannot_carry", f"`{param}` cannot be carried", param=param), body)
    assert (error.param, error.message) == (told, f"`{told}` cannot be carried")


@pytest.mark.parametrize(
    ("param", "told"),
    [("messages[0].content", "instructions"), ("messages[1].content[0].text", "input[0].content[0].text")],
)
def test_instructions_are_the_first_message(param: str, told: str) -> None:
    body = {"model": "m", "instructions": "Be brief.", "input": [ASKED]}
    assert in_responses_words(InputError("cannot_carry", "no", param=param), body).param == told
