"""Teams' budgets, as the callers of a gateway meet them."""

from __future__ import annotations

import json
import urllib.request
from typing import TYPE_CHECKING, Any

import anthropic
import openai
import pytest

from trimtab.policy.keys import hash_key
from trimtab.serving.team_limit import TeamLimit
from trimtab.sim.config import SimConfig

if TYPE_CHECKING:
    from collections.abc import Callable

ASK: dict[str, Any] = {
    "model": "support-reply",
    "messages": [{"role": "user", "content": "order A-1007?"}],
    "extra_body": {"trimtab": {"variables": {"shop": "Acme"}}},
}
KEYS = {hash_key("tt-support"): "support", hash_key("tt-sales"): "sales"}


def test_a_team_over_its_rate_is_told_to_wait_and_others_are_not(stack: Callable[..., Any]) -> None:
    here = stack(keys=KEYS, limits={"support": TeamLimit(requests_per_minute=2)})
    support, sales = here.client(api_key="tt-support"), here.client(api_key="tt-sales")
    for _ in range(2):
        support.chat.completions.create(**ASK)
    with pytest.raises(openai.RateLimitError) as caught:
        support.chat.completions.create(**ASK)
    assert caught.value.code == "rate_limit_exceeded"
    assert 0 < int(caught.value.response.headers["retry-after"]) <= 61
    sales.chat.completions.create(**ASK)
    events = here.generations(3)
    assert sorted(event.team for event in events) == ["sales", "support", "support"]


def test_a_team_that_has_spent_its_money_is_refused_in_its_own_format(stack: Callable[..., Any]) -> None:
    here = stack(keys=KEYS, limits={"*": TeamLimit(usd_per_day=0.000_001)})
    client = anthropic.Anthropic(api_key="tt-support", base_url=here.base_url.removesuffix("/v1"), max_retries=0)
    ask: dict[str, Any] = {
        "model": "support-reply",
        "max_tokens": 50,
        **{k: ASK[k] for k in ("messages", "extra_body")},
    }
    client.messages.create(**ask)
    (event,) = here.generations(1)
    assert event.cost_usd > 0.000_001
    with pytest.raises(anthropic.RateLimitError) as caught:
        client.messages.create(**ask)
    assert caught.value.response.headers["x-should-retry"] == "false"
    told = caught.value.response.json()["error"]
    assert (told["type"], told["code"]) == ("rate_limit_error", "insufficient_quota")
    client.close()
    page = f"{here.base_url.removesuffix('/v1')}/healthz"
    with urllib.request.urlopen(urllib.request.Request(page, headers={"authorization": "Bearer tt-sales"})) as answer:
        (used,) = json.load(answer)["limits"]
    assert (used["team"], used["spent_usd_today"]) == ("support", pytest.approx(event.cost_usd, abs=1e-6))


def test_requests_in_flight_are_given_back_however_they_end(stack: Callable[..., Any]) -> None:
    here = stack(keys=KEYS, limits={"support": TeamLimit(concurrent=1)}, sim=SimConfig(chunk_gap_ms=50))
    client = here.client(api_key="tt-support")
    client.chat.completions.create(**ASK)
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(**{**ASK, "temperature": 1})
    with client.chat.completions.create(**ASK, stream=True) as stream:
        next(iter(stream))
        with pytest.raises(openai.RateLimitError) as caught:
            client.chat.completions.create(**ASK)
        assert caught.value.code == "too_many_concurrent"
    here.generations(3)
    client.chat.completions.create(**ASK)
