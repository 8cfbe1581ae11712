"""A candidate whose provider refuses every call, with no control plane anywhere."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import openai

from trimtab.providers.resilience import RetryPolicy
from trimtab.serving.snapshot import RolloutRoute
from trimtab.sim.config import Rule, SimConfig, When

if TYPE_CHECKING:
    from collections.abc import Callable


def test_after_a_handful_of_users_everybody_is_answered_by_stable_again(
    stack: Callable[..., Any], release: Callable[..., Any]
) -> None:
    candidate = release(2, system="BROKEN {{ shop }}", model="gpt-4o-2024-08-06")
    half = RolloutRoute(
        id="rol_1", candidate=candidate.digest, salt="s", stage=1, state="progressing", weight=0.5, control_weight=0.5
    )
    rules = [Rule(name="broken", when=When(system_contains="broken"), error_rate=1.0)]
    here = stack(release(), candidate, rollout=half, sim=SimConfig(rules=rules), retry=RetryPolicy(max_attempts=1))
    client = here.client()
    failed = []
    for number in range(60):
        with contextlib.suppress(openai.APIStatusError):
            client.chat.completions.create(
                model="support-reply",
                user=f"user-{number}",
                messages=[{"role": "user", "content": "hi"}],
                extra_body={"trimtab": {"variables": {"shop": "Acme"}}},
            )
            continue
        failed.append(number)
    assert 5 <= len(failed) <= 9
    assert max(failed) < 30
    assert here.plane.health()["withdrawn"] == ["rol_1"]
