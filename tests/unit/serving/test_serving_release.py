from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.artifacts.model import ModelContent, PromptContent, PromptMessage, Role
from trimtab.core.errors import InputError
from trimtab.releases.model import CompiledRelease
from trimtab.serving.release import PreparedRelease

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"shop": {"type": "string"}, "limit": {"type": "integer", "minimum": 1}},
    "required": ["shop"],
    "additionalProperties": False,
}


def prepared(*texts: str, variables: dict[str, Any] | None = None) -> PreparedRelease:
    roles: tuple[Role, ...] = ("system", "user", "assistant")
    return PreparedRelease(
        CompiledRelease(
            digest="sha256:1",
            feature="support-reply",
            number=42,
            prompt=PromptContent(
                messages=[PromptMessage(role=roles[i], content=text) for i, text in enumerate(texts)],
                variables=SCHEMA if variables is None else variables,
            ),
            model=ModelContent(provider="openai", model="m"),
        )
    )


def refusal(release: PreparedRelease, variables: dict[str, Any]) -> InputError:
    with pytest.raises(InputError) as caught:
        release.render(variables)
    return caught.value


def test_messages_come_out_in_order_with_their_roles() -> None:
    release = prepared("You serve {{ shop }}.", "At most {{ limit }}.")
    assert release.label == "support-reply#42"
    assert release.render({"shop": "Acme", "limit": 3}) == [
        {"role": "system", "content": "You serve Acme."},
        {"role": "user", "content": "At most 3."},
    ]


@given(st.text())
def test_a_value_is_put_in_as_it_is_and_never_interpreted(shop: str) -> None:
    assert prepared("<{{ shop }}>").render({"shop": shop})[0]["content"] == f"<{shop}>"


def test_an_unknown_variable_is_named_with_the_nearest_one() -> None:
    error = refusal(prepared("{{ shop }}"), {"shop": "Acme", "limti": 3})
    assert (error.code, error.param, error.hint) == ("unknown_variable", "variables.limti", "did you mean `limit`?")


def test_a_missing_variable_is_named() -> None:
    error = refusal(prepared("{{ shop }}"), {"limit": 3})
    assert (error.code, error.param) == ("missing_variable", "variables.shop")


def test_a_variable_of_the_wrong_type_is_named() -> None:
    error = refusal(prepared("{{ shop }}"), {"shop": "Acme", "limit": "three"})
    assert (error.code, error.param) == ("invalid_variable", "variables.limit")


def test_an_endless_template_is_stopped() -> None:
    open_schema = {"type": "object"}
    endless = prepared(
        "{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}", variables=open_schema
    )
    assert refusal(endless, {}).code == "template_error"


def test_a_template_cannot_reach_python() -> None:
    reach = prepared("{{ shop.__class__.__mro__ }}")
    assert refusal(reach, {"shop": "Acme"}).code == "template_error"


def test_a_template_that_does_not_compile_is_refused_at_once() -> None:
    with pytest.raises(InputError) as caught:
        prepared("{% if %}")
    assert caught.value.code == "template_error"
