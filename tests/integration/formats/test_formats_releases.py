"""What a release pins reaches a model of every API; what a caller may not say beside it is named in its own words."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from tests.integration.formats.case_files import RELEASE
from tests.integration.formats.conftest import FORMATS, Gateway, simply
from tests.integration.formats.hear import error_of, hear
from tests.integration.formats.said import SERVED, Said
from tests.integration.formats.speak import whole
from tests.integration.formats.upstream import Planned

if TYPE_CHECKING:
    from collections.abc import Iterator

LIMITS = ("max_completion_tokens", "max_output_tokens")


def refusals() -> Iterator[Any]:
    for caller, cases in RELEASE["pinned"].items():
        for model in FORMATS:
            for case in cases:
                yield pytest.param(caller, model, "pinned_field", case, id=f"{caller} to {model}: {case['names']}")
    for pair, cases in RELEASE["places"].items():
        caller, _, model = pair.partition(" to ")
        for case in cases:
            yield pytest.param(caller, model, "cannot_carry", case, id=f"{pair}: {case['names']}")


def plain(caller: str) -> dict[str, Any]:
    """A request that leaves to the release what callers may leave out; Anthropic's clients always send a limit."""
    said = simply(caller, "Where is it?", streamed=False)
    return {name: 999 if name == "max_tokens" else value for name, value in said.items() if name not in LIMITS}


@pytest.mark.parametrize("model", FORMATS)
@pytest.mark.parametrize("caller", FORMATS)
def test_prompt_parameters_tools_and_schema_reach_the_model(gateway: Gateway, caller: str, model: str) -> None:
    gateway.upstream.plan(Planned(whole(Said('{"late": true}'), model)))
    answered = gateway.ask(caller, {"model": f"full-{model}", **plain(caller)})
    assert answered.status == 200, answered.body
    (received,) = gateway.upstream.received
    translated: dict[str, Any] = {"store": False} if model == "responses" else {}
    if model == "messages":
        translated = RELEASE["joined"]
    assert received.body == {**RELEASE["arrives"][model], **(translated if caller != model else {})}
    assert hear(caller, answered.body, streamed=False).text == '{"late": true}'
    assert answered.event
    assert (answered.event.requested_model, answered.event.served_model) == (f"asked-{model}", SERVED)
    said = json.dumps(answered.event.messages)
    assert said.index("Be brief.") < said.index("Listen.") < said.index("Where is it?")


@pytest.mark.parametrize(("caller", "model", "code", "case"), list(refusals()))
def test_what_cannot_be_said_beside_a_release_is_named_where_the_caller_said_it(
    gateway: Gateway, caller: str, model: str, code: str, case: dict[str, Any]
) -> None:
    gateway.upstream.plan(Planned(b"{}"))
    said = {name: value for name, value in case.items() if name != "names"}
    answered = gateway.ask(caller, {"model": f"full-{model}", **plain(caller), **said})
    assert gateway.upstream.received == []
    assert answered.status == 400
    error = error_of(caller, json.loads(answered.body))
    assert (error["code"], error["param"]) == (code, case["names"])
    assert answered.event
    assert (answered.event.status, answered.event.error_code) == ("error", code)
