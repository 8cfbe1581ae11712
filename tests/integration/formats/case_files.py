"""The cases, as they stand in `cases/*.yaml`.

Not a test module.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import yaml
from tests.integration.formats.said import Said

__all__ = [
    "ANSWERS",
    "ERRORS",
    "MEANT_ANYWAY",
    "RELEASE",
    "REQUESTS",
    "UNCARRIED",
    "AnswerCase",
    "ErrorCase",
    "RequestCase",
    "UncarriedCase",
]

_FOLDER = Path(__file__).with_name("cases")


class AnswerCase(msgspec.Struct, frozen=True):
    """What an upstream says, and why it stopped in the words of each caller."""

    name: str
    says: Said
    stops: dict[str, str]
    by_upstream: dict[str, dict[str, str]]

    def __str__(self) -> str:
        return self.name

    def stop(self, upstream: str, caller: str) -> str:
        return self.by_upstream.get(upstream, {}).get(caller, self.stops[caller])


class ErrorCase(msgspec.Struct, frozen=True, rename={"name": "error", "type_for_messages": "messages type"}):
    """An error of an upstream."""

    name: str
    status: int
    code: str
    type: str
    type_for_messages: str
    headers: dict[str, str] = {}

    def __str__(self) -> str:
        return self.name


class RequestCase(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A request in every format that can say it."""

    request: str
    chat: dict[str, Any] | None = None
    responses: dict[str, Any] | None = None
    messages: dict[str, Any] | None = None
    arrives: dict[str, dict[str, Any]] = {}
    refused: dict[str, str] = {}
    implied: list[Any] = []
    """Values that another format need not say: it has them anyway, or another word."""

    def __str__(self) -> str:
        return self.request

    def said_in(self, format: str) -> dict[str, Any] | None:  # noqa: A002 - the field's word
        """Return the request as a caller of a format sends it, less `model` and `stream`."""
        said: dict[str, Any] | None = getattr(self, format)
        return None if said is None else {**_LIMIT[format], **said}

    def arriving(self, caller: str, model: str) -> dict[str, Any] | None:
        """Return the request as a model's API gets it; `None` where it must be refused."""
        if (pair := f"{caller} to {model}") in self.refused:
            return None
        said = {**_LIMIT[model], **self.arrives[pair]} if pair in self.arrives else self.said_in(model)
        assert said is not None, f"`{self.request}` does not tell what becomes of it from {pair}"
        if caller == model:
            return said
        return {name: value for name, value in said.items() if value is not None}


_LIMIT: dict[str, dict[str, Any]] = {
    "chat": {"max_completion_tokens": 200},
    "responses": {"max_output_tokens": 200},
    "messages": {"max_tokens": 200},
}


class UncarriedCase(NamedTuple):
    """A field that only some formats have."""

    caller: str
    said: dict[str, Any]
    param: str
    taken_by: str

    def __str__(self) -> str:
        return f"{self.caller} {json.dumps(self.said)}"


def _load(name: str) -> Any:
    return yaml.safe_load((_FOLDER / name).read_text())


def _answer(given: dict[str, Any]) -> AnswerCase:
    name, says, stops = given.pop("answer"), given.pop("says"), given.pop("stop")
    by_upstream = {key.removeprefix("from "): value for key, value in given.items()}
    return AnswerCase(name, msgspec.convert(says, Said), stops, by_upstream)


def _uncarried(given: dict[str, Any]) -> UncarriedCase:
    param, taken_by = given.pop("param", None), given.pop("taken by", "")
    ((caller, said),) = given.items()
    ((field, _),) = said.items()
    return UncarriedCase(caller, said, param or field, taken_by)


ANSWERS = [_answer(given) for given in _load("answers.yaml")]
ERRORS = msgspec.convert(_load("errors.yaml"), list[ErrorCase])
REQUESTS = [
    msgspec.convert(given, RequestCase)
    for name in ("conversations", "tools", "parameters")
    for given in _load(f"requests/{name}.yaml")
]
UNCARRIED = [_uncarried(given) for given in _load("uncarried.yaml")]
MEANT_ANYWAY: dict[str, dict[str, Any]] = _load("meant_anyway.yaml")
"""By pair: where (a regular expression) which value makes no difference."""
RELEASE: dict[str, Any] = _load("release.yaml")
