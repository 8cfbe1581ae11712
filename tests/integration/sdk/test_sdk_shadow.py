"""What a mirror through a wrapped client may not do. `store`, `upstream` and `tt` are in conftest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from anthropic import Anthropic
from openai import OpenAI

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trimtab.sdk.client import Trimtab

ASK: dict[str, Any] = {
    "model": "support-reply",
    "messages": [{"role": "user", "content": "Where is my order?"}],
    "trimtab": {"variables": {"shop": "Acme"}, "unit": "u1"},
}


@pytest.fixture
def client(upstream: Any, tt: Trimtab) -> Iterator[Any]:
    with OpenAI(base_url=f"{upstream.url}/v1", api_key="k", max_retries=0) as plain:
        yield tt.wrap(plain)


@pytest.fixture
def claude(upstream: Any, tt: Trimtab) -> Iterator[Any]:
    with Anthropic(base_url=upstream.url, api_key="k", max_retries=0) as plain:
        yield tt.wrap(plain)


def test_tools_that_a_mirrored_candidate_asks_for_never_reach_the_application(
    client: Any, upstream: Any, tt: Trimtab, store: Any
) -> None:
    store.publish(store.release(1, model="gpt-a"), store.release(2, model="gpt-tools"), shadow=1.0)
    store.wait_until_serving(tt)
    tools = [
        {"type": "function", "function": {"name": "find_order", "parameters": {"type": "object", "properties": {}}}}
    ]
    answer = client.chat.completions.create(**ASK, tools=tools)
    _, shadow = store.wait_for(2, tt)
    assert answer.choices[0].message.tool_calls is None
    assert [call["function"]["name"] for call in shadow.tool_calls] == ["find_order"]
    assert upstream.bodies("gpt-tools")[0]["tools"] == tools


def test_hosted_tools_of_the_callers_are_not_run_for_a_mirror(
    claude: Any, upstream: Any, tt: Trimtab, store: Any
) -> None:
    stable, candidate = (store.release(n, model=f"claude-{n}", provider="anthropic") for n in (1, 2))
    store.publish(stable, candidate, shadow=1.0)
    store.wait_until_serving(tt)
    claude.messages.create(**ASK, tools=[{"type": "code_execution_20250522", "name": "code_execution"}])
    claude.messages.create(**ASK, tools=[{"type": "bash_20250124", "name": "bash"}])  # the caller's own to run
    shadows = [event for event in store.wait_for(4, tt) if event.arm == "shadow"]
    assert [(one.status, one.error_code) for one in shadows] == [
        ("aborted", "mirror_hosted_tool.code_execution_20250522"),
        ("ok", ""),
    ]
    assert len(upstream.bodies("claude-2")) == 1


def test_a_mirror_stores_nothing_and_is_no_repetition_of_the_users_request(
    client: Any, upstream: Any, tt: Trimtab, store: Any
) -> None:
    store.publish(store.release(1, model="gpt-a"), store.release(2, model="gpt-b"), shadow=1.0)
    store.wait_until_serving(tt)
    client.chat.completions.create(**ASK, store=True, extra_headers={"Idempotency-Key": "k1", "x-mine": "1"})
    store.wait_for(2, tt)
    assert [body["store"] for body in upstream.requests] == [True, False]
    assert [headers.get("idempotency-key") for headers in upstream.headers] == ["k1", None]
    assert [headers.get("x-mine") for headers in upstream.headers] == ["1", "1"]


def test_a_steps_budget_holds_in_the_sdk_too(client: Any, upstream: Any, tt: Trimtab, store: Any) -> None:
    rules = {"shadow_budget_usd": 0.000_001}
    store.publish(store.release(1, model="gpt-a"), store.release(2, model="gpt-b"), shadow=1.0, **rules)
    store.wait_until_serving(tt)
    for count in (2, 4):
        client.chat.completions.create(**ASK)
        shadows = [event for event in store.wait_for(count, tt) if event.arm == "shadow"]
    assert [one.error_code for one in shadows] == ["", "mirror_budget_spent"]
    spent = list((store.directory.usage / "shadow" / "steps").glob("*.usage"))
    assert len(spent) == 1
    assert len(upstream.bodies("gpt-b")) == 1
