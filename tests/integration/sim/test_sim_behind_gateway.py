"""The simulator as a provider of each API behind the gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from tests.integration.gateway.conftest import release, stack

from trimtab.releases.model import wire_of
from trimtab.sim.config import Rule, SimConfig

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["release", "stack"]

TOOL: Any = {"type": "function", "function": {"name": "track", "parameters": {"type": "object", "properties": {}}}}


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_a_model_called_by_any_api_says_the_same(
    stack: Callable[..., Any], release: Callable[..., Any], *, streamed: bool
) -> None:
    releases = []
    for number, api in enumerate(("chat", "responses", "messages"), start=1):
        one = release(number, feature=api, system="Reply in JSON", parameters={"max_tokens": 50})
        called = msgspec.structs.replace(one.model, api=api)
        releases.append(msgspec.structs.replace(one, model=called, wire=wire_of(called)))
    here = stack(*releases, sim=SimConfig(rules=[Rule(name="calls", tool_call_rate=1.0)]))
    client = here.client()
    asked: Any = {"messages": [{"role": "user", "content": "Where is order A-1007?"}]}
    texts, calls = set(), set()
    for feature in ("chat", "responses", "messages"):
        for tools in ([], [TOOL]):
            more: dict[str, Any] = {"tools": tools} if tools else {}
            if streamed:
                with client.chat.completions.stream(model=feature, **asked, **more) as events:
                    message = events.get_final_completion().choices[0].message
            else:
                message = client.chat.completions.create(model=feature, **asked, **more).choices[0].message
            texts.add(message.content or "")
            calls.add(tuple(call.function.name for call in message.tool_calls or ()))
    said = texts - {""}
    assert len(said) == 1
    assert "A-1007" in said.pop()
    assert calls == {(), ("track",)}
    events = here.generations(6)
    assert {event.served_model for event in events} == {"gpt-4o-mini-2024-07-18"}
    assert {(event.input_tokens, event.output_tokens > 0) for event in events} == {(events[0].input_tokens, True)}
