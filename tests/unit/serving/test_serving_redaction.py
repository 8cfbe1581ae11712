from __future__ import annotations

from typing import Any

import msgspec
import pytest

from trimtab.events import Exposure, Feedback, Generation
from trimtab.serving.redaction import Redaction

MESSAGES = [{"role": "user", "content": "I am Ada, card 4711"}]
EVENT = Generation(
    id="gen_1",
    at_ms=1,
    feature="f",
    environment="production",
    release="sha256:1",
    unit="ada",
    input_tokens=7,
    variables={"name": "Ada"},
    messages=MESSAGES,
    output="Hello Ada",
    tool_calls=[{"id": "1"}],
)


def hidden(content: dict[str, Any]) -> dict[str, Any]:
    content["messages"][0]["content"] = "I am [name], card [number]"
    content["output"] = content["output"].replace("Ada", "[name]")
    del content["variables"]
    return content


class Unmade:
    """What an application recorded as output by mistake: nothing like it can be made without knowing more."""

    def __init__(self, reason: str) -> None:
        self.reason = reason


def test_content_that_is_none_is_emptied_too_where_the_hook_fails() -> None:
    event = Redaction(hidden).apply(msgspec.structs.replace(EVENT, output=Unmade("mistake")))
    assert (event.output, event.variables, event.messages, event.tool_calls) == ("", {}, [], [])  # type: ignore[union-attr]


def test_what_the_hook_returns_is_written_and_what_it_leaves_out_is_not() -> None:
    event = Redaction(hidden).apply(EVENT)
    assert isinstance(event, Generation)
    assert (event.output, event.variables, event.tool_calls) == ("Hello [name]", {}, [{"id": "1"}])
    assert event.messages == [{"role": "user", "content": "I am [name], card [number]"}]
    assert (event.id, event.unit, event.input_tokens) == ("gen_1", "ada", 7)


def test_the_hook_works_on_a_copy_for_the_request_may_yet_be_sent_again() -> None:
    Redaction(hidden).apply(EVENT)
    assert MESSAGES == [{"role": "user", "content": "I am Ada, card 4711"}]


@pytest.mark.parametrize("returned", [None, {"output": 5}, {"messages": "text"}, {"messages": [1]}, 7])
def test_a_hook_that_returns_what_is_no_content_lets_nothing_pass(returned: Any) -> None:
    redaction = Redaction(lambda _: returned)
    event = redaction.apply(EVENT)
    assert isinstance(event, Generation)
    assert (event.output, event.messages, event.variables, event.tool_calls) == ("", [], {}, [])
    assert (event.input_tokens, redaction.failures) == (7, 1)


def test_a_hook_that_fails_lets_nothing_pass_and_its_message_is_not_quoted() -> None:
    def broken(content: dict[str, Any]) -> dict[str, Any]:
        raise KeyError(content["output"])

    redaction = Redaction(broken)
    event = redaction.apply(EVENT)
    assert isinstance(event, Generation)
    assert (event.output, event.messages) == ("", [])
    assert (redaction.failures, redaction.problem) == (1, "KeyError")


def test_comments_are_content_and_events_without_any_are_left_alone() -> None:
    feedback = Feedback(
        id="fb_1", at_ms=1, feature="f", environment="e", generation="gen_1", name="thumbs", value=1, comment="by Ada"
    )
    kept = Redaction(lambda content: {"comment": content["comment"].replace("Ada", "[name]")}).apply(feedback)
    assert isinstance(kept, Feedback)
    assert kept.comment == "by [name]"
    exposure = Exposure(id="exp_1", at_ms=1, feature="f", environment="e", release="sha256:1")
    assert Redaction(lambda _: {}).apply(exposure) is exposure
