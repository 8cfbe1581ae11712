"""promptfoo's assertions as scorers: those that mean the same here are taken over, all others are named.

https://www.promptfoo.dev/docs/configuration/expected-outputs/
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from trimtab.core.errors import InputError
from trimtab.evals.scoring.reading import read_scorer

if TYPE_CHECKING:
    from collections.abc import Callable

    from trimtab.evals.scoring.reading import AnyScorer

__all__ = ["MAPPED_ASSERTIONS", "scorer_of_assertion"]

_LEVENSHTEIN_DEFAULT = 5
_SIMILAR_DEFAULT = 0.75
_RENDERED = ("{{", "{%")


def scorer_of_assertion(assertion: dict[str, Any], *, judge: str = "", embedder: str = "") -> AnyScorer | str:
    """Return the scorer that an assertion means, or in words why there is none.

    `judge` and `embedder` are models (`provider/model`) for assertions that name none.
    """
    kind = str(assertion.get("type", ""))
    negate = kind.startswith("not-")
    make = _MAKERS.get(kind.removeprefix("not-"))
    if make is None:
        return f"`{kind}` has no counterpart here"
    value = assertion.get("value")
    if isinstance(value, str) and value.startswith(("file://", "package:")):
        return f"`{kind}` reads its value from `{value}`"
    if isinstance(value, str) and any(mark in value for mark in _RENDERED):
        return f"the value of `{kind}` is a template"
    try:
        made = make({**assertion, "judge": judge, "embedder": embedder})
        if isinstance(made, str):
            return made
        return read_scorer(made | ({"negate": True} if negate else {}) | _named(assertion))
    except InputError as error:
        return f"`{kind}`: {error.message}"


def _named(assertion: dict[str, Any]) -> dict[str, Any]:
    metric = assertion.get("metric")
    return {"name": metric} if isinstance(metric, str) and metric else {}


def _equals(one: dict[str, Any]) -> dict[str, Any] | str:
    return {"type": "equals", "value": one.get("value")}


def _contains(*, match: str = "all", ignore_case: bool = False) -> Callable[[dict[str, Any]], dict[str, Any] | str]:
    def make(one: dict[str, Any]) -> dict[str, Any] | str:
        value = one.get("value")
        values = [text.strip() for text in value.split(",")] if isinstance(value, str) and match != "one" else value
        texts = values if isinstance(values, list) else [values]
        return {
            "type": "contains",
            "values": [str(text) for text in texts],
            "match": "all" if match == "one" else match,
            "ignoreCase": ignore_case,
        }

    return make


def _regex(one: dict[str, Any]) -> dict[str, Any] | str:
    return {"type": "regex", "pattern": str(one.get("value"))}


def _json(one: dict[str, Any]) -> dict[str, Any] | str:
    schema = one.get("value")
    if isinstance(schema, str):
        try:
            schema = msgspec.json.decode(schema)
        except msgspec.DecodeError:
            return "the schema of `is-json` is not JSON"
    return {"type": "json"} | ({"schema": schema} if isinstance(schema, dict) else {})


def _levenshtein(one: dict[str, Any]) -> dict[str, Any] | str:
    wanted = str(one.get("value"))
    most = one.get("threshold", _LEVENSHTEIN_DEFAULT)
    if not wanted:
        return "`levenshtein` of nothing"
    return {"type": "similarity", "value": wanted, "threshold": max(0.0, 1.0 - most / len(wanted))}


def _similar(one: dict[str, Any]) -> dict[str, Any] | str:
    if not one["embedder"]:
        return "`similar` needs an embedding model: name one"
    threshold = one.get("threshold", _SIMILAR_DEFAULT)
    return {"type": "embedding", "model": one["embedder"], "value": str(one.get("value")), "threshold": threshold}


def _rubric(one: dict[str, Any]) -> dict[str, Any] | str:
    model = _model(one.get("provider")) or one["judge"]
    if not model:
        return "`llm-rubric` needs a judge: name one"
    return {"type": "judge", "mode": "pass", "model": model, "rubric": str(one.get("value"))}


def _model(provider: object) -> str:
    """Return `provider/model` of promptfoo's `openai:chat:gpt-4o`."""
    if not isinstance(provider, str):
        return ""
    head, _, rest = provider.partition(":")
    rest = rest.removeprefix("chat:").removeprefix("messages:")
    return f"{head}/{rest}" if rest else ""


def _at_most(kind: str) -> Callable[[dict[str, Any]], dict[str, Any] | str]:
    def make(one: dict[str, Any]) -> dict[str, Any] | str:
        threshold = one.get("threshold")
        return {"type": kind, "threshold": threshold} if threshold is not None else f"`{kind}` without a threshold"

    return make


_MAKERS: dict[str, Callable[[dict[str, Any]], dict[str, Any] | str]] = {
    "equals": _equals,
    "contains": _contains(match="one"),
    "icontains": _contains(match="one", ignore_case=True),
    "contains-all": _contains(),
    "contains-any": _contains(match="any"),
    "icontains-all": _contains(ignore_case=True),
    "icontains-any": _contains(match="any", ignore_case=True),
    "starts-with": lambda one: {"type": "startsWith", "value": str(one.get("value"))},
    "regex": _regex,
    "is-json": _json,
    "is-refusal": lambda _one: {"type": "refusal"},
    "levenshtein": _levenshtein,
    "similar": _similar,
    "latency": _at_most("latency"),
    "cost": _at_most("cost"),
    "llm-rubric": _rubric,
    "is-valid-openai-tools-call": lambda _one: {"type": "toolCalls"},
}
MAPPED_ASSERTIONS = frozenset(_MAKERS)
"""Types of promptfoo's that are taken over, each also with `not-` before it."""
