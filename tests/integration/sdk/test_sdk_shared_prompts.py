"""Calls whose prompts are alike share what waits to be recorded, and none of them notices."""

from __future__ import annotations

import copy
import threading
from typing import TYPE_CHECKING, Any

import pytest

from trimtab.artifacts.model import PromptMessage
from trimtab.sdk.resolved import Fallback

if TYPE_CHECKING:
    from trimtab.sdk.client import Trimtab

VARIABLES = {"shop": "Acme"}


class Unequal:
    """An object that cannot even be compared."""

    def __eq__(self, other: object) -> bool:
        raise ValueError("ambiguous")

    __hash__ = None  # type: ignore[assignment]


@pytest.fixture
def serving(store: Any) -> Any:
    store.publish(store.release(1, model="gpt-a"))
    return store


def last(serving: Any, tt: Trimtab) -> Any:
    return serving.generations(tt)[-1]


@pytest.mark.parametrize("earlier", [0, 1, 2])
def test_a_prompt_that_was_changed_is_recorded_as_it_was_sent(serving: Any, tt: Trimtab, earlier: int) -> None:
    for _ in range(earlier):
        tt.render("support-reply", unit="u1", variables=VARIABLES)
    rendered = tt.render("support-reply", unit="u1", variables=VARIABLES)
    rendered.messages[0]["content"] += " Hurry."
    rendered.messages.append({"role": "user", "content": "hi"})
    tt.record(rendered, output="x")
    event = last(serving, tt)
    assert event.messages == rendered.messages
    assert event.messages[0]["content"].endswith(" Hurry.")


def test_what_one_call_does_to_its_prompt_and_variables_no_other_call_sees(serving: Any, tt: Trimtab) -> None:
    variables = dict(VARIABLES)
    first = tt.render("support-reply", unit="u1", variables=variables)
    variables["shop"] = "Changed"
    second = tt.render("support-reply", unit="u2", variables=VARIABLES)
    said = [dict(message) for message in second.messages]
    for mine in (first, second):
        assert mine.variables == VARIABLES
        mine.variables["shop"] = "Mine"
        mine.messages[0]["content"] = "Mine"
        mine.messages.clear()
    third = tt.render("support-reply", unit="u3", variables=VARIABLES)
    assert (third.messages, third.variables) == (said, VARIABLES)
    for mine in (first, second, third):
        tt.record(mine, output="x")
    events = serving.generations(tt)
    assert [event.messages for event in events] == [[], [], said]
    assert [event.variables for event in events] == [VARIABLES] * 3


def test_a_prompt_that_was_not_changed_is_recorded_as_it_was_when_the_call_was(serving: Any, tt: Trimtab) -> None:
    for _ in range(2):
        rendered = tt.render("support-reply", unit="u1", variables=VARIABLES)
        sent = [dict(message) for message in rendered.messages]
        tt.record(rendered, output="x")
    rendered.messages[0]["content"] = "The next call's"
    assert last(serving, tt).messages == sent


@pytest.mark.parametrize("many", [1, 1_500])
def test_messages_that_cannot_be_compared_cost_their_content_not_the_record(
    serving: Any, tt: Trimtab, many: int
) -> None:
    for _ in range(2):
        rendered = tt.render("support-reply", unit="u1", variables=VARIABLES)
    rendered.messages[0]["content"] = Unequal()  # type: ignore[assignment]
    for _ in range(many):
        tt.record(rendered, output="x")
    assert len(serving.generations(tt)) == many
    assert tt.health()["dropped"] == 0


def test_a_default_says_what_it_was_filled_in_with(serving: Any, tt: Trimtab) -> None:
    default = Fallback(model="m", messages=[{"role": "system", "content": "Hi {{ shop }}"}])
    for _ in range(2):
        rendered = tt.render("no-such", unit="u1", variables=VARIABLES, default=default)
        assert (rendered.variables, rendered.error_code) == (VARIABLES, "unknown_feature")
    assert serving.generations(tt) == []


@pytest.mark.parametrize("earlier", [0, 2])
def test_the_next_turn_of_a_conversation_is_not_recorded_as_the_prompt(serving: Any, tt: Trimtab, earlier: int) -> None:
    for _ in range(earlier):
        tt.render("support-reply", unit="u1", variables=VARIABLES)
    rendered = tt.render("support-reply", unit="u1", variables=VARIABLES)
    question: dict[str, Any] = {"role": "user", "content": [{"type": "text", "text": "Where is it?"}]}
    rendered.messages.append(question)
    sent = copy.deepcopy(rendered.messages)
    with tt._process.plane().soon._making:  # the journal's thread comes later
        tt.record(rendered, output="On its way.")
        question["content"][0]["text"] = "changed"
        rendered.messages[0]["content"] = "changed"
        rendered.messages.append({"role": "assistant", "content": "On its way."})
    assert last(serving, tt).messages == sent


class Messages(list[Any]):
    """A list of an application's own kind."""


@pytest.mark.parametrize("kind", [list, Messages])
def test_what_cannot_be_copied_leaves_no_other_message_to_the_next_turn(
    serving: Any, tt: Trimtab, kind: type[list[Any]]
) -> None:
    rendered = tt.render("support-reply", unit="u1", variables=VARIABLES)
    odd, question = {"role": "user", "content": threading.Lock()}, {"role": "user", "content": [{"text": "Where?"}]}
    rendered.messages = kind([odd, question])
    with tt._process.plane().soon._making:  # the journal's thread comes later
        tt.record(rendered, output="x")
        odd["content"] = "changed"
        question["content"][0]["text"] = "changed"  # type: ignore[index]
        rendered.messages.append({"role": "assistant", "content": "x"})
    event = last(serving, tt)
    assert "changed" not in str(event)
    assert event.content_dropped == "unencodable"


@pytest.mark.parametrize("odd", [(), None, "text", ({"role": "user", "content": "hi"},)])
def test_messages_that_are_no_list_never_cost_the_record(serving: Any, tt: Trimtab, odd: Any) -> None:
    rendered = tt.render("support-reply", unit="u1", variables=VARIABLES)
    rendered.messages = odd
    tt.record(rendered, output="x")
    assert last(serving, tt).output == "x"
    assert tt.health()["dropped"] == 0


@pytest.mark.parametrize("served", ["release", "default"])
def test_nested_variables_are_recorded_and_told_as_they_were_filled_in(store: Any, tt: Trimtab, served: str) -> None:
    template = "{% for doc in docs %}{{ doc.title }}{% endfor %}"
    schema = {"type": "object", "properties": {"docs": {"type": "array"}}}
    store.publish(
        store.release(1, model="gpt-a", messages=[PromptMessage(role="system", content=template)], variables=schema)
    )
    default = Fallback(model="m", messages=[{"role": "system", "content": template}])
    docs: list[Any] = [{"title": "A"}]
    feature = "support-reply" if served == "release" else "no-such"
    rendered = tt.render(feature, unit="u1", variables={"docs": docs}, default=default)
    docs[0]["title"] = "changed"
    assert rendered.variables == {"docs": [{"title": "A"}]}
    with tt._process.plane().soon._making:  # the journal's thread comes later
        tt.record(rendered, output="x")
        rendered.variables["docs"].append("changed")
    assert rendered.variables == {"docs": [{"title": "A"}]}
    if served == "release":
        assert last(store, tt).variables == {"docs": [{"title": "A"}]}


def test_a_message_that_cannot_be_copied_costs_its_content_not_the_record(serving: Any, tt: Trimtab) -> None:
    rendered = tt.render("support-reply", unit="u1", variables=VARIABLES)
    rendered.messages.append({"role": "user", "content": threading.Lock()})  # type: ignore[dict-item]
    tt.record(rendered, output="x")
    assert last(serving, tt).content_dropped == "unencodable"
    assert tt.health()["dropped"] == 0
