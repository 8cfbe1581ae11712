"""What an application or a provider passes is refused by name or recorded, never as an event that cannot be read."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openai import OpenAI

import trimtab
from trimtab.artifacts.model import AdapterContent, PromptMessage
from trimtab.core.errors import InputError
from trimtab.core.ids import new_id
from trimtab.sdk.client import CallDetails, Trimtab
from trimtab.sdk.resolved import Fallback

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ID = new_id("gen", 1_760_000_000_000)
DEFAULT = Fallback(model="gpt-default", messages=[{"role": "system", "content": "Hello"}])


@pytest.fixture
def serving(store: Any) -> Any:
    store.publish(store.release(1, model="gpt-a"))
    return store


WRONG: dict[str, tuple[Callable[[Any], object], str]] = {
    "a feature that is a number": (lambda tt: tt.resolve(5), "invalid_feature"),
    "a feature that is a list": (lambda tt: tt.resolve(["support-reply"]), "invalid_feature"),
    "a unit that is a number": (lambda tt: tt.resolve("support-reply", unit=7), "invalid_unit"),
    "a unit that is a list": (lambda tt: tt.render("support-reply", unit=["u"]), "invalid_unit"),
    "a session that is a number": (lambda tt: tt.resolve("support-reply", session=7), "invalid_session"),
    "no unit": (lambda tt: tt.resolve("support-reply", unit=None), "invalid_unit"),
    "a default that is a text": (lambda tt: tt.resolve("support-reply", default="gpt"), "invalid_default"),
    "a default without a model": (lambda _: Fallback(model=None), "invalid_default"),  # type: ignore[arg-type]
    "a default with odd messages": (lambda _: Fallback(model="m", messages=["hi"]), "invalid_default"),  # type: ignore[list-item]
    "variables that are a text": (lambda tt: tt.render("support-reply", variables="Acme"), "invalid_variables"),
    "variables of a resolved release": (lambda tt: tt.resolve("support-reply").messages("Acme"), "invalid_variables"),
    "an answer to nothing": (lambda tt: tt.record(None), "invalid_answered"),
    "an answer to an id": (lambda tt: tt.record(ID), "invalid_answered"),
    "a status that is none": (lambda tt: tt.record(tt.resolve("support-reply"), status=1), "invalid_detail"),
    "feedback on nothing": (lambda tt: tt.feedback(None, "thumb", 1), "invalid_feedback"),
    "feedback on a number": (lambda tt: tt.feedback(5, "thumb", 1), "invalid_feedback"),
    "feedback without a name": (lambda tt: tt.feedback(ID, 5, 1), "invalid_feedback"),
    "feedback without a value": (lambda tt: tt.feedback(ID, "thumb", None), "invalid_feedback"),
    "feedback beyond numbers": (lambda tt: tt.feedback(ID, "thumb", 10**5000), "invalid_feedback"),
    "a score by nobody": (lambda tt: tt.score(ID, "ok", 1, source=None), "invalid_feedback"),
    "a comment in bytes": (lambda tt: tt.score(ID, "ok", 1, source="human:kim", comment=b"x"), "invalid_feedback"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_of_a_wrong_type_is_refused_by_name_and_leaves_nothing(serving: Any, tt: Trimtab, what: str) -> None:
    call, code = WRONG[what]
    with pytest.raises(InputError) as caught:
        call(tt)
    assert caught.value.code == code
    assert serving.generations(tt) == []
    assert tt.health()["dropped"] == 0


def test_variables_without_names_are_a_failure_of_the_release_as_all_that_it_cannot_be_filled_with(
    serving: Any, tt: Trimtab
) -> None:
    with pytest.raises(InputError, match="`1` is none"):
        tt.render("support-reply", variables={"shop": "Acme", 1: "Acme"})  # type: ignore[dict-item]
    (event,) = serving.generations(tt)
    assert (event.status, event.error_code) == ("error", "invalid_variables")


@pytest.mark.parametrize("put", [3, None, {"role": "user", "content": [{"type": "text"}]}, {"role": "user"}])
def test_whatever_an_application_put_among_the_messages_a_burst_of_calls_is_recorded(
    serving: Any, tt: Trimtab, put: Any
) -> None:
    rendered = tt.render("support-reply", unit="u1", variables={"shop": "Acme"})
    rendered.messages.append(put)
    for _ in range(1_500):  # beyond 500 that wait, it is looked at how much they hold
        tt.record(rendered, output="x")
    assert len(serving.generations(tt)) == 1_500
    assert tt.health()["dropped"] == 0


def test_with_a_default_a_wrong_unit_is_answered_and_recorded(serving: Any, tt: Trimtab) -> None:
    resolved = tt.resolve("support-reply", unit=5, default=DEFAULT)  # type: ignore[arg-type]
    assert (resolved.error_code, resolved.unit, resolved.model) == ("invalid_unit", "", "gpt-default")
    tt.record(resolved, output="x")
    (event,) = serving.generations(tt)
    assert event.latency_ms < 60_000  # since `resolve`, not since the machine was started


ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.text(st.characters(categories=["Cs"]), min_size=1),
    st.binary(),
    st.builds(object),
    st.lists(st.builds(dict)),
    st.dictionaries(st.text() | st.integers(), st.builds(object) | st.sets(st.integers()) | st.text()),
)
DETAILS = st.dictionaries(st.sampled_from(sorted(CallDetails.__annotations__)), ODD)


@given(output=ODD, usage=ODD, details=DETAILS, variables=st.dictionaries(st.text(), ODD))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_call_is_refused_or_recorded_and_can_be_read(
    serving: Any, tt: Trimtab, output: Any, usage: Any, details: Any, variables: Any
) -> None:
    expected = len(serving.generations(tt))
    identifier = ""
    with contextlib.suppress(InputError):
        rendered = tt.render("support-reply", variables={"shop": "Acme", **variables})
        identifier = tt.record(rendered, output=output, usage=usage, **details)
    events = serving.generations(tt)
    if identifier:
        assert [event.id for event in events[expected:]] == [identifier]
    assert tt.health()["dropped"] == 0
    assert all(len(event.id) == len(ID) for event in events)


@pytest.fixture
def client(upstream: Any, tt: Trimtab) -> Iterator[Any]:
    with OpenAI(base_url=f"{upstream.url}/v1", api_key="k", max_retries=0) as plain:
        yield tt.wrap(plain)


@pytest.mark.parametrize(
    ("arguments", "param"),
    [
        ({"messages": "hello"}, "messages"),
        ({"messages": 5}, "messages"),
        ({"messages": [{"role": "user", "content": object()}]}, "messages[0].content"),
        ({"messages": ["hello"]}, "messages[0].role"),
        ({"extra_body": ["seed"]}, "extra_body"),
        ({"extra_headers": "x-team: a"}, "extra_headers"),
        ({"trimtab": {"variables": "Acme"}}, "trimtab"),
        ({"trimtab": {"unit": 5}}, "trimtab"),
    ],
)
def test_a_wrapped_client_names_what_it_cannot_send(
    serving: Any, client: Any, upstream: Any, arguments: dict[str, Any], param: str
) -> None:
    ask = {"messages": [{"role": "user", "content": "hi"}], "trimtab": {"variables": {"shop": "Acme"}}}
    with pytest.raises(InputError) as caught:
        client.chat.completions.create(model="support-reply", **{**ask, **arguments})
    assert caught.value.param == param
    assert upstream.requests == []


@pytest.mark.parametrize("steps", [[], ["trim"]], ids=["as it is", "adapted"])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_an_answer_that_no_api_promises_reaches_the_caller_and_is_recorded_as_malformed(
    store: Any, client: Any, tt: Trimtab, *, stream: bool, steps: list[Any]
) -> None:
    prompt = [PromptMessage(role="system", content="Hello")]
    adapter = AdapterContent(output=steps) if steps else None
    store.publish(store.release(1, model="gpt-odd", messages=prompt, variables={}, adapter=adapter))
    store.wait_until_serving(tt)
    answer = client.chat.completions.create(
        model="support-reply", messages=[{"role": "user", "content": "hi"}], stream=stream
    )
    if stream:
        said = [chunk.choices[0].delta.content for chunk in answer if chunk.choices]
        assert 5 in said
    else:
        assert answer.choices[0].message.content == 5
    (event,) = store.generations(tt)
    assert (event.status, event.error_code) == ("error", "upstream_malformed")


@pytest.mark.parametrize(
    ("arguments", "param"),
    [
        ({"messages": "hello"}, "messages"),
        ({"messages": 5}, "messages"),
        ({"messages": ["hello"]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": b"bytes"}]}, "messages[0].content"),
        ({"variables": 5}, "variables"),
        ({"temperature": object()}, "temperature"),
        ({"metadata": {"a": {1, 2}}}, "metadata.a"),
        ({"unit": 5}, "unit"),
        ({"feature": None}, "feature"),
    ],
)
def test_a_managed_call_names_what_it_cannot_send(
    serving: Any, upstream: Any, arguments: dict[str, Any], param: str
) -> None:
    providers = {"openai": trimtab.Endpoint(name="openai", base_url=f"{upstream.url}/v1")}
    ask = {"feature": "support-reply", "variables": {"shop": "Acme"}, "messages": [{"role": "user", "content": "hi"}]}
    with Trimtab(serving.root, providers=providers) as tt, pytest.raises(InputError) as caught:
        tt.chat(**{**ask, **arguments})
    assert caught.value.param == param
    assert upstream.requests == []
