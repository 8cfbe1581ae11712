"""What callers say for segments: recorded as it came, never sent on, and nothing but short labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import openai
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

ASK: list[Any] = [{"role": "user", "content": "Where is order A-1007?"}]


def ask(here: Any, attributes: Any) -> None:
    ours = {"variables": {"shop": "Acme"}, "attributes": attributes}
    here.client().chat.completions.create(model="support-reply", messages=ASK, extra_body={"trimtab": ours})


def test_attributes_are_recorded(stack: Callable[..., Any]) -> None:
    here = stack()
    ask(here, {"language": "de", "tier": "gold"})
    ask(here, None)
    first, second = here.generations(2)
    assert (first.attributes, first.variables) == ({"language": "de", "tier": "gold"}, {"shop": "Acme"})
    assert second.attributes == {}


@pytest.mark.parametrize(
    ("attributes", "param"),
    [
        (["de"], "trimtab.attributes"),
        ({"language": 7}, "trimtab.attributes.language"),
        ({"language": "x" * 65}, "trimtab.attributes.language"),
        ({"language": "d\u0000e"}, "trimtab.attributes.language"),
        ({"": "de"}, "trimtab.attributes"),
        ({f"a{n}": "x" for n in range(11)}, "trimtab.attributes"),
    ],
)
def test_what_is_no_short_label_is_refused_by_its_name(stack: Callable[..., Any], attributes: Any, param: str) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        ask(stack(), attributes)
    assert (refused.value.code, refused.value.param) == ("invalid_attributes", param)
