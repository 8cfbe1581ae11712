"""Whatever a model answers reaches callers of every format in their own, whole and streamed, and is recorded."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import msgspec
import pytest
from tests.integration.formats.case_files import ANSWERS, AnswerCase
from tests.integration.formats.conftest import PAIRS, Answered, Gateway, simply
from tests.integration.formats.hear import Heard, hear
from tests.integration.formats.said import SERVED
from tests.integration.formats.speak import whole, written
from tests.integration.formats.upstream import Planned

if TYPE_CHECKING:
    from trimtab.events import Generation


def recorded_stop(case: AnswerCase, caller: str, model: str) -> str:
    """The journal has the provider's word where nothing is translated, and chat's elsewhere."""
    if case.says.refusal and not caller == model == "messages":
        return "refusal"
    return case.stop(model, model if caller == model == "messages" else "chat")


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(("caller", "model"), PAIRS)
@pytest.mark.parametrize("case", ANSWERS, ids=str)
def test_an_answer_is_heard_and_recorded(
    gateway: Gateway, case: AnswerCase, caller: str, model: str, *, streamed: bool
) -> None:
    said = written(case.says, model) if streamed else whole(case.says, model)
    gateway.upstream.plan(Planned(said, content_type="text/event-stream" if streamed else "application/json"))

    body = {"model": f"bare-{model}", **simply(caller, "Where is it?", streamed=streamed)}
    gateway.ask(caller, body, recorded=False)  # from now on its head is known
    answered = gateway.ask(caller, body)

    assert (answered.status, answered.whole) == (200, True), answered.body
    heard = hear(caller, answered.body, streamed=streamed)
    assert heard._replace(calls=()) == expected(case, caller, model)
    assert [(call.id, call.name, json.loads(call.arguments)) for call in heard.calls] == [
        (call.id, call.name, json.loads(call.arguments)) for call in case.says.calls
    ]
    if caller == model:
        assert answered.body == said
    check_event(answered, case, caller, model, streamed=streamed)
    through_all_layers = gateway.ask(caller, body, at_once=False)
    assert hear(caller, through_all_layers.body, streamed=streamed)._replace(calls=()) == heard._replace(calls=())
    check_event(through_all_layers, case, caller, model, streamed=streamed)
    assert facts(through_all_layers) == facts(answered)


def facts(answered: Answered) -> dict[str, object]:
    """Return what two events of the same exchange have in common."""
    assert answered.event is not None
    told = msgspec.structs.asdict(answered.event)
    for measured in ("id", "at_ms", "latency_ms", "first_token_ms"):
        del told[measured]
    return told


def expected(case: AnswerCase, caller: str, model: str) -> Heard:
    says = case.says
    text, refusal = says.text, says.refusal
    if caller == "messages" and model != "messages":
        text, refusal = text + refusal, ""  # Messages tell a refusal as text with a stop reason of its own
    return Heard(text, (), refusal, case.stop(model, caller), says.usage, SERVED)


def check_event(answered: Answered, case: AnswerCase, caller: str, model: str, *, streamed: bool) -> None:
    event: Generation | None = answered.event
    assert event is not None
    assert (event.requested_model, event.served_model, event.provider) == (f"asked-{model}", SERVED, "here")
    assert (event.status, event.http_status, event.stream, event.format) == ("ok", 200, streamed, caller)
    assert (event.input_tokens, event.output_tokens) == (case.says.usage.input, case.says.usage.output)
    refused_natively = caller == model == "messages"  # there it stands beside the text
    assert event.output == case.says.text + ("" if refused_natively else case.says.refusal)
    assert event.finish_reason == recorded_stop(case, caller, model)
    assert [(call["id"], json.loads(call["function"]["arguments"])) for call in event.tool_calls] == [
        (call.id, json.loads(call.arguments)) for call in case.says.calls
    ]
