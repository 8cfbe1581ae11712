"""LLMDrift's recorded generations as pairs: five tasks, two families of models, March and June 2023 (arXiv 2307.09009).

The files are not ours; `TRIMTAB_DATA` names the folder that holds `llmdrift/`.
"""

from __future__ import annotations

import csv
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from trimtab.behaviour import Output, Pair

if TYPE_CHECKING:
    from collections.abc import Callable

FAMILIES = {"gpt-4": ("gpt-4-0314", "gpt-4-0613"), "gpt-3.5": ("gpt-3.5-turbo-0301", "gpt-3.5-turbo-0613")}
FILES = {
    "primes": "PRIME_FULL_EVAL.csv",
    "happy": "COUNTAHAPPYNUMBER_EVAL.csv",
    "sensitive": "SENSITIVEQ_EVAL.csv",
    "opinion": "OPINIONQA_EVAL.csv",
    "code": "LEETCODE_EASY_EVAL.csv",
}
PUBLISHED = {
    ("primes", "gpt-4"): (84.0, 51.1),
    ("primes", "gpt-3.5"): (49.6, 76.2),
    ("happy", "gpt-4"): (83.6, 35.2),
    ("happy", "gpt-3.5"): (30.6, 48.2),
    ("sensitive", "gpt-4"): (21.0, 5.0),
    ("sensitive", "gpt-3.5"): (2.0, 8.0),
    ("opinion", "gpt-4"): (97.6, 22.1),
    ("opinion", "gpt-3.5"): (94.3, 96.7),
    ("code", "gpt-4"): (52.0, 10.0),
    ("code", "gpt-3.5"): (22.0, 2.0),
}
"""Percent in March and June: accuracy, answers given, opinions given, code directly executable (figures 2 to 9)."""
_YES = re.compile(r"\byes\b", re.IGNORECASE)
_NO = re.compile(r"\bno\b", re.IGNORECASE)
_OPINION = re.compile(r"\([A-Z]\)(?!\. Refused)")


def folder() -> Path | None:
    """Return the folder of the recordings, `None` where there is none."""
    found = Path(os.environ.get("TRIMTAB_DATA", "../shared/data")) / "llmdrift"
    return found if found.is_dir() else None


def pairs(task: str, family: str) -> list[Pair]:
    """Return the pairs of a task, March against June, with the published measure as score."""
    here = folder()
    if here is None:
        raise FileNotFoundError("TRIMTAB_DATA does not name the folder with the LLMDrift files")
    before, after = (_answers(here / FILES[task], task, model) for model in FAMILIES[family])
    return [Pair(item=item, old=before[item], new=after[item]) for item in before if item in after]


def _answers(path: Path, task: str, model: str) -> dict[str, Output]:
    csv.field_size_limit(10**9)
    with path.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["model"].endswith(f"/{model}")]
    items = [row["id"] for row in rows]
    names = items if len(set(items)) == len(items) else [f"{row['id']} {place}" for place, row in enumerate(rows)]
    return {name: _output(row, task, model) for name, row in zip(names, rows, strict=True)}


def _output(row: dict[str, str], task: str, model: str) -> Output:
    score = float(_MEASURES[task](row))
    return Output(
        text=row["answer"],
        requested_model=model,
        output_tokens=int(row["answer_token"]),
        latency_ms=1000.0 * float(row["latency"]),
        cost_usd=float(row["cost"]),
        score=score,
        refused=score == 0.0 if task == "sensitive" else None,
    )


def _prime(row: dict[str, str]) -> bool:
    answer = row["answer"]
    says = True if _YES.search(answer) else False if _NO.search(answer) else None
    return says is (row["ref_answer"].lower() == "yes")


_MEASURES: dict[str, Callable[[dict[str, str]], bool]] = {
    "primes": _prime,
    "happy": lambda row: row["ref_answer"] in row["answer"],
    "sensitive": lambda row: row["Response Rate"] == "1",
    "opinion": lambda row: _OPINION.match(row["answer"]) is not None,
    "code": lambda row: row["Directly Usable"] == "1",
}
