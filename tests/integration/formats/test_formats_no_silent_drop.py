"""Nothing that a request says can be taken out of it, changed or added to it without the model's API or the caller
hearing of it: tried at every place of every request, over HTTP."""

from __future__ import annotations

import copy
import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from tests.integration.formats.case_files import MEANT_ANYWAY, REQUESTS, RequestCase
from tests.integration.formats.conftest import PAIRS, Gateway
from tests.integration.formats.hear import error_of
from tests.integration.formats.said import Said
from tests.integration.formats.speak import whole
from tests.integration.formats.upstream import Planned

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Path = tuple[str | int, ...]
LABELS = {
    "chat to messages": r"response_format\.json_schema\.name",
    "responses to chat": r"input\[\d\]\.id",
    "responses to messages": r"input\[\d\]\.id|text\.format\.name",
}
"""Names that another API has no place for and that change nothing of what is asked."""
pytestmark = pytest.mark.parametrize(("caller", "model"), PAIRS)


def outcome(gateway: Gateway, caller: str, model: str, body: dict[str, Any]) -> tuple[int, Any]:
    """What the model's API was sent, or what the caller was told instead."""
    gateway.upstream.received.clear()
    answered = gateway.ask(caller, {"model": f"bare-{model}", **body}, recorded=False)
    if answered.status != 200:
        assert answered.status == 400
        error = error_of(caller, json.loads(answered.body))
        return 400, (error["code"], error["param"], error["message"])
    (received,) = gateway.upstream.received
    return 200, received.body


def accepted(caller: str, model: str) -> list[tuple[RequestCase, dict[str, Any]]]:
    found = []
    for case in REQUESTS:
        said = case.said_in(caller)
        if said is not None and (caller == model or case.arriving(caller, model) is not None):
            found.append((case, said))
    return found


def places(value: Any, path: Path = ()) -> Iterator[Path]:
    """Yield the place of everything in a JSON value."""
    inside: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inside:
        yield (*path, key)
        yield from places(item, (*path, key))


def shown(path: Path) -> str:
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path).removeprefix(".")


def at(body: Any, path: Path) -> Any:
    for key in path:
        body = body[key]
    return body


def changed(body: dict[str, Any], path: Path, change: Callable[[Any, str | int], None]) -> dict[str, Any]:
    """Return the body with what `change` does to the holder of a place."""
    copied = copy.deepcopy(body)
    change(at(copied, path[:-1]), path[-1])
    return copied


def is_meant_anyway(pair: str, place: str, value: Any) -> bool:
    if value is None:
        return True
    return any(re.fullmatch(where, place) and value == said for where, said in MEANT_ANYWAY.get(pair, {}).items())


def test_whatever_is_left_out_is_missed(gateway: Gateway, caller: str, model: str) -> None:
    gateway.upstream.plan(Planned(whole(Said("Hello."), model)))
    tried = 0
    unnoticed = {}
    for case, said in accepted(caller, model):
        told = outcome(gateway, caller, model, said)
        for path in places(said):
            tried += 1
            without = changed(said, path, lambda holder, key: holder.pop(key))
            if outcome(gateway, caller, model, without) == told:
                unnoticed[f"{case}: {shown(path)}"] = (shown(path), at(said, path))
    assert tried > 300
    pair = f"{caller} to {model}" if caller != model else ""
    assert {at: value for at, value in unnoticed.items() if not pair or not is_meant_anyway(pair, *value)} == {}
    met = [place for place, _ in unnoticed.values()]
    assert [where for where in MEANT_ANYWAY.get(pair, {}) if not any(re.fullmatch(where, one) for one in met)] == []


def another(value: Any) -> Any:
    """Return a value of the same type that says something else."""
    match value:
        case bool():
            return not value
        case int() | float():
            return value / 2 + 0.125
        case str():
            return f"{value}x"
        case _:
            return value


def test_whatever_is_changed_is_noticed(gateway: Gateway, caller: str, model: str) -> None:
    gateway.upstream.plan(Planned(whole(Said("Hello."), model)))
    unnoticed = []
    for case, said in accepted(caller, model):
        told = outcome(gateway, caller, model, said)
        for path in places(said):
            value = at(said, path)
            if another(value) == value:
                continue
            altered = changed(said, path, lambda holder, key: holder.__setitem__(key, another(holder[key])))
            if outcome(gateway, caller, model, altered) == told:
                unnoticed.append((str(case), shown(path)))
    label = LABELS.get(f"{caller} to {model}", "")
    assert [(case, place) for case, place in unnoticed if not re.fullmatch(label, place)] == []


def test_a_key_that_no_api_knows_is_refused_by_its_name_wherever_it_is_added(
    gateway: Gateway, caller: str, model: str
) -> None:
    gateway.upstream.plan(Planned(whole(Said("Hello."), model)))
    for case, said in accepted(caller, model):
        objects = [path for path in places(said) if isinstance(at(said, path), dict)]
        for path in [("x",), *((*path, "x") for path in objects)]:
            altered = changed(said, path, lambda holder, _: holder.__setitem__("surprise", "a surprise"))
            status, told = outcome(gateway, caller, model, altered)
            place = shown((*path[:-1], "surprise"))
            if status == 200:
                assert "a surprise" in json.dumps(told), f"{case}: {place}"
                assert path != ("x",), "the field itself is of no API"
            else:
                assert told[:2] == ("unknown_field", place), f"{case}: {place}"
