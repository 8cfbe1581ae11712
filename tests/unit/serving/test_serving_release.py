from __future__ import annotations

from types import MappingProxyType
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

ENDLESS: list[Any] = []
ENDLESS.append(ENDLESS)


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


class Uncooperative:
    """An object of an application whose property fails, as a detached database row's does."""

    @property
    def name(self) -> str:
        raise LookupError("detached")


def test_an_object_that_fails_while_it_is_looked_into_is_the_prompts_error() -> None:
    error = refusal(prepared("Hello {{ user.name }}", variables={}), {"user": Uncooperative()})
    assert (error.code, error.param) == ("template_error", "variables")
    assert "detached" in error.message


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


@pytest.mark.parametrize("value", [object(), b"bytes", {1, 2}, {1: "key"}, ENDLESS])
def test_a_variable_that_is_no_json_value_is_named(value: object) -> None:
    error = refusal(prepared("{{ shop }}"), {"limit": 3, "shop": value})
    assert (error.code, error.param) == ("invalid_variable", "variables.shop")


def test_a_variable_that_no_schema_asks_for_but_the_template_does_is_named() -> None:
    error = refusal(prepared("{{ shop }}{% for i in range(2) %}{{ city }}{% endfor %}", variables={}), {"shop": "Acme"})
    assert (error.code, error.param) == ("missing_variable", "variables.city")


def test_an_attribute_that_a_variable_lacks_is_an_error_of_the_template() -> None:
    assert refusal(prepared("{{ shop.city.name }}", variables={}), {"shop": {}}).code == "template_error"


def test_any_mapping_will_do() -> None:
    frozen: Any = MappingProxyType({"shop": "Acme"})
    assert prepared("{{ shop }}").render(frozen)[0]["content"] == "Acme"


@pytest.mark.parametrize("schema", [{"type": "nonsense"}, {"properties": []}, {"$ref": "http://127.0.0.1:9/schema"}])
def test_a_schema_that_cannot_be_used_is_refused_at_once(schema: dict[str, Any]) -> None:
    with pytest.raises(InputError) as caught:
        prepared("{{ shop }}", variables=schema)
    assert (caught.value.code, caught.value.param) == ("schema_error", "prompt.variables")
