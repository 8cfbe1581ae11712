"""Whatever a caller asks reaches a model of every API in its own words, or is refused with the name of the field."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.integration.formats.case_files import REQUESTS, UNCARRIED, RequestCase, UncarriedCase
from tests.integration.formats.conftest import FORMATS, Answered, Gateway, simply
from tests.integration.formats.hear import error_of, hear
from tests.integration.formats.leaves import vanished
from tests.integration.formats.said import SERVED, Said
from tests.integration.formats.speak import whole, written
from tests.integration.formats.upstream import Planned

SAID = Said("Hello.")
EXCHANGES = [
    pytest.param(case, caller, model, id=f"{case}: {caller} to {model}")
    for case in REQUESTS
    for caller in FORMATS
    for model in FORMATS
    if case.said_in(caller) is not None
]


def send(gateway: Gateway, caller: str, model: str, body: dict[str, Any]) -> Answered:
    streamed = bool(body.get("stream"))
    said = written(SAID, model) if streamed else whole(SAID, model)
    gateway.upstream.plan(Planned(said, content_type="text/event-stream" if streamed else "application/json"))
    return gateway.ask(caller, {"model": f"bare-{model}", **body})


def added(caller: str, model: str, *, streamed: bool) -> dict[str, Any]:
    """What the gateway says beside the caller: the model, that nothing is to be stored, that usage is to be told."""
    more: dict[str, Any] = {"model": f"asked-{model}"}
    if model == "responses" and caller != model:
        more["store"] = False
    if streamed:
        more["stream"] = True
        if model == "chat":
            more["stream_options"] = {"include_usage": True}
    return more


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(("case", "caller", "model"), EXCHANGES)
def test_a_request_arrives_in_the_words_of_the_models_api_or_is_refused(
    gateway: Gateway, case: RequestCase, caller: str, model: str, *, streamed: bool
) -> None:
    said = case.said_in(caller)
    assert said is not None
    answered = send(gateway, caller, model, {**said, "stream": True} if streamed else said)
    expected = case.arriving(caller, model)
    if expected is None:
        code = "missing_max_tokens" if case.request == "no limit" else "cannot_carry"
        check_refused(gateway, answered, caller, code, case.refused[f"{caller} to {model}"])
        return
    assert answered.status == 200, answered.body
    (received,) = gateway.upstream.received
    assert received.format == model
    ours = added(caller, model, streamed=streamed)
    assert received.body == {**expected, **ours}
    if caller != model:
        arrived = {name: value for name, value in received.body.items() if name not in ours}
        assert vanished(said, arrived, case.implied) == []
    if not streamed or caller != "chat":  # a stream of chat has usage for those who ask
        heard = hear(caller, answered.body, streamed=streamed)
        assert (heard.text, heard.model, heard.usage) == (SAID.text, SERVED, SAID.usage)
    check_event(answered, caller, model, "")


@pytest.mark.parametrize("model", FORMATS)
@pytest.mark.parametrize("case", UNCARRIED, ids=str)
def test_a_field_that_the_other_api_has_no_place_for_is_refused_by_its_name(
    gateway: Gateway, case: UncarriedCase, model: str
) -> None:
    body = {**simply(case.caller, "Hello.", streamed=False), **case.said}
    answered = send(gateway, case.caller, model, body)
    if model in (case.caller, case.taken_by):
        assert answered.status == 200, answered.body
        (received,) = gateway.upstream.received
        assert vanished(case.said, received.body) == []
        if model == case.caller:
            assert received.body.items() >= case.said.items()
        return
    check_refused(gateway, answered, case.caller, "cannot_carry", case.param)


@pytest.mark.parametrize("model", FORMATS)
@pytest.mark.parametrize("caller", FORMATS)
def test_a_field_that_no_api_knows_is_refused_with_the_nearest(gateway: Gateway, caller: str, model: str) -> None:
    answered = send(gateway, caller, model, {**simply(caller, "Hello.", streamed=False), "temprature": 0.5})
    error = check_refused(gateway, answered, caller, "unknown_field", "temprature")
    assert "`temperature`" in error["message"]


@pytest.mark.parametrize("model", FORMATS)
@pytest.mark.parametrize("caller", FORMATS)
def test_numbers_and_texts_arrive_as_they_were_sent(gateway: Gateway, caller: str, model: str) -> None:
    text = "\u0000\u001f\u2028 \\u0041 </script> \U0001f69a é e\u0301 \ufeff"
    answered = send(gateway, caller, model, {**simply(caller, text, streamed=False), "temperature": 0.1, "top_p": 1e-7})
    assert answered.status == 200
    (received,) = gateway.upstream.received
    assert (received.body["temperature"], received.body["top_p"]) == (0.1, 1e-7)
    assert vanished(text, received.body) == []


def check_refused(gateway: Gateway, answered: Answered, caller: str, code: str, param: str) -> dict[str, Any]:
    assert gateway.upstream.received == []
    assert answered.status == 400, answered.body
    error = error_of(caller, json.loads(answered.body))
    assert (error["code"], error["param"]) == (code, param)
    assert error["type"] == "invalid_request_error"
    model = answered.event.feature.removeprefix("bare-") if answered.event else ""
    check_event(answered, caller, model, code)
    return error


def check_event(answered: Answered, caller: str, model: str, code: str) -> None:
    event = answered.event
    assert event is not None
    assert (event.requested_model, event.served_model) == (f"asked-{model}", "" if code else SERVED)
    assert (event.status, event.error_code, event.format) == ("error" if code else "ok", code, caller)
    assert event.http_status == answered.status
