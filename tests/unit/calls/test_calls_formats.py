"""What is wrong with a translated request is named where it came from: the caller's request, or the release."""

from __future__ import annotations

import json
from typing import Any

import pytest

from trimtab.artifacts.model import ModelContent, PromptContent, PromptMessage, SchemaContent
from trimtab.calls.formats import Format, translation_of
from trimtab.core.errors import InputError
from trimtab.releases.model import CompiledRelease, wire_of

ASK = {"model": "support-reply", "messages": [{"role": "user", "content": "Hello."}]}


def refused(caller: Format, body: dict[str, Any], *, prompt: list[dict[str, Any]], **parts: Any) -> InputError:
    """The error of a request to a model behind Messages."""
    model = ModelContent(provider="anthropic", model="claude", parameters=parts.pop("parameters", {"max_tokens": 9}))
    release = CompiledRelease(
        digest="sha256:1",
        feature="support-reply",
        number=1,
        prompt=PromptContent(messages=[PromptMessage(**message) for message in prompt], variables={}),
        model=model,
        wire=wire_of(model),
        **parts,
    )
    with pytest.raises(InputError) as raised:
        translation_of(caller, release).request(prompt, body)
    return raised.value


SYSTEM = {"role": "system", "content": "Be brief."}


@pytest.mark.parametrize("prompt", [[], [SYSTEM], [SYSTEM, {"role": "user", "content": "Listen."}]], ids=len)
def test_a_callers_message_is_counted_from_the_callers_first(prompt: list[dict[str, Any]]) -> None:
    named = {"role": "user", "name": "ada", "content": "Hello."}
    error = refused("chat", {"model": "m", "messages": [*ASK["messages"], named]}, prompt=prompt)
    assert error.param == "messages[1].name"
    assert error.message.startswith("`messages[1].name` cannot be carried")
    items = [{"role": "user", "content": "Hello."}, {"role": "assistant", "content": "Hm."}]
    assert refused("responses", {"model": "m", "input": items}, prompt=prompt).param == "input[1].role"


@pytest.mark.parametrize("caller", ["chat", "responses"])
def test_a_message_of_the_release_is_named_as_the_releases(caller: Format) -> None:
    prompt = [{"role": "user", "content": "Listen."}, SYSTEM]
    body = {"model": "m", **({"input": "Hello."} if caller == "responses" else {"messages": ASK["messages"]})}
    error = refused(caller, body, prompt=prompt)
    assert error.param == "prompt.messages[1].role"
    assert "`prompt.messages[1].role`" in error.message


@pytest.mark.parametrize("caller", ["chat", "responses"])
def test_a_parameter_and_the_schema_of_the_release_are_named_as_the_releases(caller: Format) -> None:
    body = {"model": "m", **({"input": "Hello."} if caller == "responses" else {"messages": ASK["messages"]})}
    parameters = {"max_tokens": 9, "seed": 4}
    assert refused(caller, body, prompt=[], parameters=parameters).param == "model.parameters.seed"
    loose = SchemaContent(name="verdict", schema={"type": "object"}, strict=False)
    assert refused(caller, body, prompt=[], schema=loose).param == "schema.strict"


def test_what_a_caller_leaves_out_is_hinted_at_in_words_that_are_right_for_both() -> None:
    error = refused("responses", {"model": "m", "input": "Hello."}, prompt=[], parameters={})
    assert (error.code, error.param) == ("missing_max_tokens", "max_output_tokens")
    assert error.hint == "pass it with the call, or pin it among the parameters of the release's model"


COMPLETION = b"""{"id": "c", "created": 1, "model": "m", "choices": [{"index": 0, "finish_reason": "stop",
"message": {"role": "assistant", "content": "Hi."}}]}"""
CHUNKS = b"""data: {"id": "c", "created": 1, "model": "m", "choices": [{"index": 0, "delta": {"content": "Hi."}}]}

data: {"id": "c", "created": 1, "model": "m", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}

data: [DONE]

"""


def test_whole_and_streamed_responses_repeat_their_request() -> None:
    model = ModelContent(provider="openai", model="m", parameters={"max_tokens": 9})
    prompt = PromptContent(messages=[], variables={})
    release = CompiledRelease(digest="sha256:1", feature="f", number=1, prompt=prompt, model=model)
    translation = translation_of("responses", release)
    body = {"model": "f", "input": "Hello.", "metadata": {"ticket": "12"}, "temperature": 0.5}
    whole = json.loads(translation.read(COMPLETION, body)[1])
    events = translation.stream(body).feed(CHUNKS).decode().split("\n\n")
    for response in (whole, *(json.loads(events[at].partition("data: ")[2])["response"] for at in (0, -2))):
        assert response["metadata"] == {"ticket": "12"}
        assert (response["temperature"], response["max_output_tokens"]) == (0.5, 9)
    assert json.loads(translation.read(COMPLETION)[1])["metadata"] == {}
