"""The main job: three words in a prompt break JSON for some users; the mended prompt ships."""

from __future__ import annotations

import json
from importlib.resources import as_file, files
from shutil import copytree, ignore_patterns
from typing import TYPE_CHECKING, Any

from trimtab.demo.scenario import Act, Edit, Scenario
from trimtab.demo.traffic import Question

if TYPE_CHECKING:
    import random
    from pathlib import Path

__all__ = ["simulated"]

_FEATURE = "support-reply"
_PROMPT = "support-reply.prompt.yml"
_V1 = "Reply with one JSON object and nothing else: answer, order_id, next_step."
_V2 = "Explain your reasoning. " + _V1
_V3 = _V1 + "\n      Explain your reasoning inside `answer`."
_USERS = 50_000
_KEYS = {"answer", "order_id", "next_step"}
_QUESTIONS = (
    "Where is my order {order}?",
    "Can I still change the address of order {order}?",
    "Order {order} came damaged. What now?",
    "When will I get the refund for order {order}?",
)

# How this "model" takes the wording: asked to explain, it wraps the JSON in prose for one user in nine.
_LATENCY = {"medianMs": 60, "p95Ms": 140}
_UPSTREAM: dict[str, Any] = {
    "rules": [
        {"when": {"systemContains": "Explain your reasoning inside"}, "latency": _LATENCY},
        {
            "when": {"systemContains": "Explain your reasoning"},
            "drawBy": "user",
            "preambleRate": 0.06,
            "fenceRate": 0.05,
            "latency": _LATENCY,
        },
        {"latency": _LATENCY},
    ]
}


def simulated(folder: Path, *, seed: int) -> Scenario:
    """Return the scenario that runs on the simulator; its behaviour file is written to `folder`."""
    behaviour = folder / "upstream.json"

    def write(target: Path) -> None:
        if not (target / _FEATURE).exists():
            with as_file(files("trimtab.demo") / _FEATURE) as example:
                copytree(example, target / _FEATURE, ignore=ignore_patterns("__pycache__"))
        behaviour.write_text(json.dumps(_UPSTREAM, indent=2))

    return Scenario(
        title="Three words in a prompt",
        features=[_FEATURE],
        write=write,
        upstream=["--seed", str(seed), "--behaviour", str(behaviour)],
        ask=_ask,
        usable=_usable,
        unusable_means="not the JSON the shop's code reads",
        acts=[
            Act(
                feature=_FEATURE,
                headline="Somebody adds three words to the prompt: “Explain your reasoning.”",
                message="Let the model explain itself",
                edits=[Edit(_PROMPT, _V1, _V2)],
                number=2,
                expected="rolled_back",
            ),
            Act(
                feature=_FEATURE,
                headline="The mended prompt asks for the reasoning inside the JSON.",
                message="Explain inside `answer`",
                edits=[Edit(_PROMPT, _V2, _V3)],
                number=3,
                expected="promoted",
            ),
        ],
        rate=150.0,
    )


def _ask(source: random.Random) -> Question:
    user = f"user-{source.randrange(_USERS)}"
    order = f"{source.choice('ABCD')}-{source.randrange(1000, 9999)}"
    text = source.choice(_QUESTIONS).format(order=order)
    return Question(
        user,
        {
            "model": _FEATURE,
            "messages": [{"role": "user", "content": text}],
            "trimtab": {"variables": {"shop": "Acme"}},
        },
    )


def _usable(text: str) -> bool:
    """What the shop's own code does with an answer."""
    try:
        value = json.loads(text)
    except ValueError:
        return False
    return isinstance(value, dict) and value.keys() == _KEYS
