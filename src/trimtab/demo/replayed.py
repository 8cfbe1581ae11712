"""The main job on real generations: two model upgrades of 2023, one to roll back, one to promote."""

from __future__ import annotations

import csv
import re
from typing import TYPE_CHECKING

from trimtab.core.errors import NotFoundError
from trimtab.demo.scenario import Act, Edit, Scenario
from trimtab.demo.traffic import Question

if TYPE_CHECKING:
    import random
    from pathlib import Path

__all__ = ["RECORDINGS", "replayed"]

RECORDINGS = ("llmdrift", "PRIME_FULL_EVAL.csv")
"""Where the recorded generations lie below the data folder."""

_FAMILIES = {
    "primes-gpt4": ("gpt-4-0314", "gpt-4-0613", "rolled_back"),
    "primes-gpt35": ("gpt-3.5-turbo-0301", "gpt-3.5-turbo-0613", "promoted"),
}
_PROMPT = """\
name: Primality
model: openai/{model}
modelParameters:
  temperature: 0.1
  max_tokens: 1000
messages:
  - role: user
    content: 'Is {{{{ number }}}} a prime number? Think step by step and then answer "[Yes]" or "[No]".'
"""
_PLAN = """\
unit: user
window: 1s
alpha: 0.05
metrics:
  - name: correct
    role: guardrail
    margin: 0.02
    scorer: {python: "trimtab.demo.primes:correct"}
  - name: error
    role: guardrail
    margin: 0.05
steps:
  - setWeight: 10
  - pause: {duration: 3s, minUnits: 30}
  - setWeight: 50
  - pause: {duration: 3s, minUnits: 100}
  - analysis: {mode: nonInferior, minUnits: 100, maxDuration: 60s}
  - bake: {duration: 2s, controlWeight: 10}
"""


def replayed(data: Path) -> Scenario:
    """Return the scenario on LLMDrift's recordings below `data`."""
    recordings = data.joinpath(*RECORDINGS)
    if not recordings.exists():
        raise NotFoundError(
            "no_recordings",
            f"{recordings} is not there",
            hint="set TRIMTAB_DATA to the folder that holds llmdrift/PRIME_FULL_EVAL.csv",
        )
    numbers = _numbers(recordings)
    acts = []
    for feature, (old, new, expected) in _FAMILIES.items():
        acts.append(
            Act(
                feature=feature,
                headline=f"The model snapshot changes: {old} to {new}.",
                message=f"Upgrade to {new}",
                edits=[Edit("primes.prompt.yml", old, new)],
                number=2,
                expected="rolled_back" if expected == "rolled_back" else "promoted",
            )
        )
    return Scenario(
        title="Two model upgrades of 2023, replayed",
        features=list(_FAMILIES),
        write=_write,
        upstream=[
            *("--replay", str(recordings), "--replay-speed", "200"),
        ],
        ask=_Asker(numbers),
        usable=bool,
        unusable_means="empty",
        acts=acts,
        rate=100.0,
    )


class _Asker:
    """Every user asks about a number of their own, so that each recorded answer is met once per feature."""

    def __init__(self, numbers: list[str]) -> None:
        self._numbers = numbers
        self._asked = 0

    def __call__(self, source: random.Random) -> Question:
        features = list(_FAMILIES)
        feature = features[self._asked % len(features)]
        if self._asked % (2 * len(self._numbers)) == 0:
            source.shuffle(self._numbers)
        number = self._numbers[self._asked // 2 % len(self._numbers)]
        self._asked += 1
        return Question(
            f"asker-of-{number}",
            {"model": feature, "messages": [], "trimtab": {"variables": {"number": number}}},
        )


def _write(target: Path) -> None:
    for feature, (old, _, _) in _FAMILIES.items():
        folder = target / feature
        if folder.exists():
            continue
        folder.mkdir(parents=True)
        (folder / "feature.yaml").write_text(f"feature: {feature}\nteam: numbers\nvariables:\n  number: string\n")
        (folder / "primes.prompt.yml").write_text(_PROMPT.format(model=old))
        (folder / "rollout.yaml").write_text(_PLAN)


def _numbers(recordings: Path) -> list[str]:
    with recordings.open(newline="", encoding="utf-8") as file:
        found = {match[1] for row in csv.DictReader(file) if (match := re.search(r"Is (\d+) a prime", row["query"]))}
    return sorted(found)
