"""Attributes for segments, whichever way the SDK calls or records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import openai
import pytest

import trimtab
from trimtab.core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

ASK: list[Any] = [{"role": "user", "content": "Where is my order?"}]
GERMAN = {"language": "de"}


@pytest.fixture
def calling(store: Any, upstream: Any) -> Iterator[trimtab.Trimtab]:
    store.publish(store.release(1, model="gpt-a"))
    endpoint = trimtab.Endpoint(name="openai", base_url=f"{upstream.url}/v1")
    with trimtab.Trimtab(store.root, providers={"openai": endpoint}) as opened:
        store.wait_until_serving(opened)
        yield opened


def test_managed_calls_record_them(store: Any, upstream: Any, calling: trimtab.Trimtab) -> None:
    calling.chat("support-reply", unit="u", variables={"shop": "Acme"}, attributes=GERMAN, messages=ASK)
    (event,) = store.generations(calling)
    assert event.attributes == GERMAN
    assert "attributes" not in upstream.requests[0]
    with pytest.raises(InputError, match="at most 64 printable"):
        calling.chat("support-reply", variables={"shop": "A"}, attributes={"language": "x" * 65}, messages=ASK)


def test_calls_through_the_openai_client_record_them(store: Any, upstream: Any, calling: trimtab.Trimtab) -> None:
    client: Any = calling.wrap_openai(openai.OpenAI(base_url=f"{upstream.url}/v1", api_key="k", max_retries=0))
    options: Any = {"variables": {"shop": "Acme"}, "attributes": GERMAN}
    client.chat.completions.create(model="support-reply", messages=ASK, trimtab=options)
    (event,) = store.generations(calling)
    assert event.attributes == GERMAN
    with pytest.raises(InputError, match="no name of an attribute"):
        client.chat.completions.create(model="support-reply", messages=ASK, trimtab={"attributes": {"a b": "x"}})


def test_what_an_application_records_itself_never_raises(store: Any, calling: trimtab.Trimtab) -> None:
    resolved = calling.resolve("support-reply", unit="u")
    calling.record(resolved, output="hello", attributes=GERMAN)
    wrong: Any = {"language": 7}
    calling.record(resolved, output="hello", attributes=wrong)
    assert [event.attributes for event in store.generations(calling)] == [GERMAN, {}]
