"""What a caller of Responses asked stands in the answer, as in OpenAI's own, whichever API the model is called by."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from tests.integration.formats.case_files import REQUESTS, RequestCase
from tests.integration.formats.hear import events_of
from tests.integration.formats.said import Said
from tests.integration.formats.speak import whole, written
from tests.integration.formats.upstream import Planned

if TYPE_CHECKING:
    from tests.integration.formats.conftest import Gateway

REPEATED = (
    "instructions",
    "max_output_tokens",
    "metadata",
    "parallel_tool_calls",
    "prompt_cache_key",
    "prompt_cache_retention",
    "reasoning",
    "safety_identifier",
    "temperature",
    "text",
    "tool_choice",
    "tools",
    "top_logprobs",
    "top_p",
    "user",
)
EXCHANGES = [
    pytest.param(case, model, id=f"{case}: {model}")
    for case in REQUESTS
    for model in ("chat", "messages")
    if case.responses is not None and case.arriving("responses", model) is not None
]


@pytest.mark.parametrize(("case", "model"), EXCHANGES)
def test_an_answer_repeats_what_was_asked(gateway: Gateway, case: RequestCase, model: str) -> None:
    said = case.said_in("responses")
    assert said is not None
    gateway.upstream.plan(Planned(written(Said("Hello."), model), content_type="text/event-stream"))
    streamed = gateway.ask("responses", {"model": f"bare-{model}", **said, "stream": True}, recorded=False)
    answers = [event["response"] for event in events_of("responses", streamed.body) if "response" in event]
    assert len(answers) == 3
    gateway.upstream.plan(Planned(whole(Said("Hello."), model)))
    for at_once in (False, True):
        answered = gateway.ask("responses", {"model": f"bare-{model}", **said}, recorded=False, at_once=at_once)
        answers.append(json.loads(answered.body))
    for answer in answers:
        for name in REPEATED:
            if said.get(name) is not None:
                assert contains(answer[name], said[name]), f"{name}: {answer[name]}"


def contains(told: Any, said: Any) -> bool:
    """Whether all of `said` is told; an answer may tell more, as what was left to it."""
    if isinstance(said, dict):
        return all(name in told and contains(told[name], item) for name, item in said.items())
    if isinstance(said, list):
        return len(told) == len(said) and all(map(contains, told, said))
    return bool(told == said)
