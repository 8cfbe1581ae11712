"""LangChain, LlamaIndex and LiteLLM, as their users call them, against a real gateway.

They live in an environment of their own: their dependencies are many and contradict ours.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.own_environment import python_with

from trimtab.sim.config import Rule, SimConfig

if TYPE_CHECKING:
    from collections.abc import Callable

_HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def frameworks() -> Path:
    """The Python of an environment with the frameworks."""
    return python_with(_HERE / "requirements.txt")


@pytest.mark.parametrize(
    ("name", "format"),
    [
        ("langchain_openai", "chat"),
        ("langchain_responses", "responses"),
        ("langchain_anthropic", "messages"),
        ("llama_index", "chat"),
        ("litellm_openai", "chat"),
        ("litellm_anthropic", "messages"),
    ],
)
def test_the_framework_works_unchanged(
    frameworks: Path,
    stack: Callable[..., Any],
    release: Callable[..., Any],
    name: str,
    format: str,  # noqa: A002 - the field's word
) -> None:
    sim = SimConfig(rules=[Rule(name="calls", tool_call_rate=1.0)])
    here = stack(release(parameters={"top_p": 0.9}), sim=sim)
    ran = subprocess.run(
        [frameworks, _HERE / "frameworks.py", name, here.base_url], capture_output=True, text=True, timeout=90
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    seen = json.loads(ran.stdout.strip().splitlines()[-1])
    check_what_it_saw(seen, release_shown=name != "langchain_anthropic")
    *events, refused = here.generations(6)
    assert {event.format for event in (*events, refused)} == {format}
    assert {event.status for event in events} == {"ok"}
    assert (refused.status, refused.error_code) == ("error", "pinned_field")
    assert [event.stream for event in events] == [False, True, False, True, False]
    assert [event.output for event in events] == [seen["text"], seen["streamed"], "", "", seen["answered"]]
    assert events[0].variables == {"shop": "Acme"}
    (call,) = events[2].tool_calls
    told = json.dumps(events[4].messages)
    assert call["id"] in told
    assert "Blue Ox" in told


def check_what_it_saw(seen: dict[str, Any], *, release_shown: bool) -> None:
    assert json.loads(seen["text"])["order_id"] == "A-1007"
    assert seen["streamed"] == seen["text"]
    assert 0 < seen["tokens"] == seen["streamed_tokens"]
    assert seen["calls"] == [["find_order", {"order_id": "A-1007"}]] * 2
    assert json.loads(seen["answered"])["order_id"] == "A-1007"
    assert seen["release"] == ("support-reply#1" if release_shown else None)
    refused = seen["refused"]
    assert "BadRequestError" in refused["classes"]
    assert (refused["status"], refused["release"]) == (400, "support-reply#1")
    assert "invalid_request_error" in refused["said"]
    assert "pins `top_p`" in refused["said"]
