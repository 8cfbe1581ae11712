"""Whatever goes wrong with an upstream is told to callers of every format in their own, and recorded as what it was."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.integration.formats.case_files import ERRORS, ErrorCase
from tests.integration.formats.conftest import PAIRS, Answered, Gateway, simply
from tests.integration.formats.hear import error_of, events_of, hear
from tests.integration.formats.said import SERVED, Call, Said
from tests.integration.formats.speak import error_body, whole, written
from tests.integration.formats.upstream import Planned

pytestmark = pytest.mark.parametrize(("caller", "model"), PAIRS)
STREAM = "text/event-stream"


def ask(gateway: Gateway, caller: str, model: str, planned: Planned, *, streamed: bool) -> Answered:
    gateway.upstream.plan(planned)
    return gateway.ask(caller, {"model": f"bare-{model}", **simply(caller, "Where is it?", streamed=streamed)})


def check_failed(answered: Answered, caller: str, status: int, code: str) -> dict[str, Any]:
    """The caller was told with a status of its own and the event says the same; return what it was told."""
    assert (answered.status, answered.whole) == (status, True)
    assert answered.headers["content-type"] == "application/json"
    error = error_of(caller, json.loads(answered.body))
    assert error["code"] == code
    event = answered.event
    assert event is not None
    assert (event.status, event.error_code, event.http_status, event.format) == ("error", code, status, caller)
    assert (event.requested_model, event.served_model, event.output) == (f"asked-{event.feature[5:]}", "", "")
    return error


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("case", ERRORS, ids=str)
def test_an_error_keeps_its_status_its_message_and_when_to_come_again(
    gateway: Gateway, case: ErrorCase, caller: str, model: str, *, streamed: bool
) -> None:
    kind = case.type if model == "messages" else case.code
    message = f"the provider's words about {case.name}"
    raw = error_body(model, kind=kind, message=message)
    planned = Planned(raw, case.status, headers=tuple(case.headers.items()))

    answered = ask(gateway, caller, model, planned, streamed=streamed)

    assert {name: answered.headers[name] for name in case.headers} == case.headers
    if caller == model:
        assert (answered.status, answered.body) == (case.status, raw)
        assert answered.event
        assert answered.event.error_code == kind
        return
    error = check_failed(answered, caller, case.status, kind)
    assert error["message"] == message
    assert error["type"] == (case.type_for_messages if caller == "messages" else "upstream_error")


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(
    ("planned", "status", "code"),
    [
        (Planned(b"<html>Bad gateway</html>", 503, "text/html"), 503, "upstream_status_503"),
        (Planned(b'{"detail": "no"}', 422), 422, "upstream_status_422"),
        (Planned(b"{}", 401), 502, "upstream_authentication_failed"),
        (Planned(b"{}", 403), 502, "upstream_authentication_failed"),
        (Planned(b'{"choices": 1, "output": 1, "content": 1}'), 502, "upstream_malformed"),
        (Planned(b'{"trunca'), 502, "upstream_malformed"),
        (Planned(b"\xff\xfe"), 502, "upstream_malformed"),
    ],
    ids=["a page", "an unknown shape", "a wrong key", "a forbidden key", "no answer", "half an answer", "no text"],
)
def test_what_is_no_answer_of_the_upstreams_format_is_an_error(
    gateway: Gateway, caller: str, model: str, *, planned: Planned, status: int, code: str, streamed: bool
) -> None:
    check_failed(ask(gateway, caller, model, planned, streamed=streamed), caller, status, code)


def test_a_stream_that_was_asked_for_and_is_not_one_is_an_error(gateway: Gateway, caller: str, model: str) -> None:
    planned = Planned(whole(Said("Hello."), model))
    check_failed(ask(gateway, caller, model, planned, streamed=True), caller, 502, "upstream_malformed")


LONG = Said("Your order is on its way, and more.")
CUT = b"on its "
"""A piece of it: what comes before has been heard."""
BEGUN = Said("Your order is", (Call("call_1", "find_order", '{"id": "A-7"}'),), fails="The provider is overloaded.")


def test_an_error_within_a_stream_ends_it_with_what_was_said_before(gateway: Gateway, caller: str, model: str) -> None:
    said = written(BEGUN, model)
    answered = ask(gateway, caller, model, Planned(said, content_type=STREAM), streamed=True)
    assert answered.status == 200
    heard = hear(caller, answered.body, streamed=True)
    assert (heard.text, heard.stop, heard.error) == (BEGUN.text, "", BEGUN.fails)
    if caller == model:
        assert answered.body == said
    event = answered.event
    assert event is not None
    code = {"chat": "overloaded", "messages": "overloaded_error", "responses": "server_error"}[model]
    assert (event.status, event.error_code, event.output) == ("error", code, BEGUN.text)
    assert (event.requested_model, event.served_model) == (f"asked-{model}", SERVED)


def test_a_stream_that_breaks_off_is_not_taken_for_a_whole_one(gateway: Gateway, caller: str, model: str) -> None:
    said = written(LONG, model)
    half = said[: said.index(CUT)]
    answered = ask(gateway, caller, model, Planned(half, content_type=STREAM, cut=True), streamed=True)
    assert (answered.status, answered.whole) == (200, False)
    *_, last = events_of(caller, answered.body)
    error = last if caller == "responses" else error_of(caller, last)
    assert error["code"] == "upstream_disconnected"
    event = answered.event
    assert event is not None
    assert (event.status, event.error_code, event.served_model) == ("error", "upstream_disconnected", SERVED)
    assert event.output == "Your order is "


def test_a_stream_that_ends_before_its_answer_does_is_not_taken_for_a_whole_one(
    gateway: Gateway, caller: str, model: str
) -> None:
    said = written(LONG, model)
    half = said[: said.index(CUT)]
    answered = ask(gateway, caller, model, Planned(half, content_type=STREAM), streamed=True)
    assert (answered.status, answered.whole) == (200, False)
    assert answered.event
    assert (answered.event.status, answered.event.error_code) == ("error", "upstream_truncated")


def test_what_is_no_event_within_a_stream_breaks_it(gateway: Gateway, caller: str, model: str) -> None:
    said = written(LONG, model)
    at = said.index(b"\n\n", said.index(CUT)) + 2
    planned = Planned(said[:at] + b"data: {nonsense\n\n" + said[at:], content_type=STREAM)
    answered = ask(gateway, caller, model, planned, streamed=True)
    assert (answered.status, answered.whole) == (200, False)
    assert answered.event
    assert (answered.event.status, answered.event.error_code) == ("error", "upstream_malformed")


def test_a_stream_that_is_nothing_but_an_error_is_told(gateway: Gateway, caller: str, model: str) -> None:
    planned = Planned(written(Said(fails="No capacity."), model), content_type=STREAM)
    answered = ask(gateway, caller, model, planned, streamed=True)
    heard = hear(caller, answered.body, streamed=True)
    assert (heard.text, heard.error) == ("", "No capacity.")
    assert answered.event
    assert answered.event.status == "error"
