"""Whatever a request says, its translation says too or an error names it: for each field of both APIs, one by one."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from trimtab.core.errors import InputError
from trimtab.providers.responses import RESPONSES_FIELDS, from_chat_request, to_chat_request

if TYPE_CHECKING:
    from collections.abc import Callable


def load_cases() -> Any:
    spec = importlib.util.spec_from_file_location("responses_cases", Path(__file__).with_name("responses_cases.py"))
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


DATA = load_cases()


def dropped(translate: Callable[[dict[str, Any]], dict[str, Any]], cases: list[Any], nothing: Any) -> list[str]:
    said = [case for case in cases if not DATA.says_nothing(case, nothing)]
    return sorted({text for case in said if (text := DATA.silent_drop(translate, case))})


def by_field(cases: list[Any]) -> dict[str, list[Any]]:
    fields: dict[str, list[Any]] = {}
    for case in cases:
        fields.setdefault(re.split(r"[.\[]", case.path)[0], []).append(case)
    return fields


@pytest.mark.parametrize(("field", "cases"), by_field(DATA.RESPONSES_CASES).items(), ids=lambda value: str(value)[:30])
def test_a_field_of_a_responses_request_is_carried_to_chat_or_named(field: str, cases: list[Any]) -> None:
    assert dropped(to_chat_request, cases, DATA.SAYS_NOTHING_IN_RESPONSES) == []


@pytest.mark.parametrize(("field", "cases"), by_field(DATA.CHAT_CASES).items(), ids=lambda value: str(value)[:30])
def test_a_field_of_a_chat_request_is_carried_to_responses_or_named(field: str, cases: list[Any]) -> None:
    assert dropped(from_chat_request, cases, DATA.SAYS_NOTHING_IN_CHAT) == []


def test_the_cases_reach_every_field_and_a_good_part_of_them_is_carried() -> None:
    assert len(DATA.RESPONSES_CASES) > 1000
    assert len(DATA.CHAT_CASES) > 150
    assert {case.path.split(".", 1)[0].split("[", 1)[0] for case in DATA.RESPONSES_CASES} == RESPONSES_FIELDS
    assert {"input[0].content[0].annotations[0].title", "tools[0].output_schema"} <= {
        case.path for case in DATA.RESPONSES_CASES
    }
    for translate, cases in ((to_chat_request, DATA.RESPONSES_CASES), (from_chat_request, DATA.CHAT_CASES)):
        assert sum(isinstance(DATA.outcome(translate, case.body), dict) for case in cases) >= 80


def test_what_says_nothing_is_not_refused_either() -> None:
    for translate, cases, nothing in (
        (to_chat_request, DATA.RESPONSES_CASES, DATA.SAYS_NOTHING_IN_RESPONSES),
        (from_chat_request, DATA.CHAT_CASES, DATA.SAYS_NOTHING_IN_CHAT),
    ):
        for path, value in nothing:
            told = [DATA.outcome(translate, case.body) for case in cases if DATA.says_nothing(case, [(path, value)])]
            assert told, path
            assert any(isinstance(one, dict) for one in told), (path, told)


def test_every_built_in_tool_and_every_item_that_is_no_message_or_call_is_refused_by_its_type() -> None:
    for case in DATA.RESPONSES_CASES:
        if case.path in {"tools[0].type", "input[0].type"}:
            told = DATA.outcome(to_chat_request, case.body)
            carried = case.value in {"function", "message", "function_call", "function_call_output"}
            assert carried or (isinstance(told, InputError) and told.param == case.path), case.value
