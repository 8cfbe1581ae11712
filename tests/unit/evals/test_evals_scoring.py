from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.artifacts.model import ModelContent, PromptContent, SchemaContent, ToolDefinition, ToolsContent
from trimtab.core.errors import InputError
from trimtab.evals.answers import Answer
from trimtab.evals.datasets import Item
from trimtab.evals.scoring import SCORER_TYPES, Case, LocalSpec, Scored, read_scorer, scorer_content
from trimtab.evals.scoring.code import judge_by_code
from trimtab.evals.scoring.embedding import cosine
from trimtab.evals.scoring.judge import Judge, judge_release, pair_score, point_score, variables_of
from trimtab.evals.scoring.promptfoo_asserts import MAPPED_ASSERTIONS, scorer_of_assertion
from trimtab.evals.scoring.sandbox import Sandboxed
from trimtab.evals.scoring.similarity import common_subsequence, edit_distance
from trimtab.releases.model import CompiledRelease
from trimtab.serving.release import PreparedRelease

if TYPE_CHECKING:
    from pathlib import Path

    from trimtab.evals.scoring.code import Code, Parser


def judged(scorer: dict[str, Any], output: str, expected: Any = None, **answer: Any) -> Scored:
    spec = read_scorer(scorer)
    assert isinstance(spec, LocalSpec)
    item = Item(id="1", messages=[{"role": "user", "content": "?"}], expected=expected, reference="the reference")
    return spec.settled(spec.judge(Case(item, Answer(output=output, **answer), RELEASE)))


RELEASE = CompiledRelease(
    digest="d",
    feature="f",
    number=1,
    prompt=PromptContent(messages=[], variables={}),
    model=ModelContent(provider="openai", model="m"),
    schema=SchemaContent(name="s", schema={"type": "object", "required": ["a"]}),
    tools=ToolsContent(
        tools=[ToolDefinition(name="find", parameters={"type": "object", "properties": {"id": {"type": "integer"}}})]
    ),
)


@pytest.mark.parametrize(
    ("scorer", "output", "expected", "value"),
    [
        ({"type": "equals"}, " yes\n", "yes", 1.0),
        ({"type": "equals"}, "Yes", "yes", 0.0),
        ({"type": "equals", "ignoreCase": True}, "Yes", "yes", 1.0),
        ({"type": "equals", "trim": False}, "yes ", "yes", 0.0),
        ({"type": "equals"}, '{"b": 1, "a": [2]}', {"a": [2], "b": 1}, 1.0),
        ({"type": "equals"}, "4", 4, 1.0),
        ({"type": "equals"}, "anything", None, None),
        ({"type": "equals", "value": "no"}, "no", "yes", 1.0),
        ({"type": "contains"}, "the answer is 42.", "42", 1.0),
        ({"type": "contains", "values": ["a", "z"]}, "abc", None, 0.0),
        ({"type": "contains", "values": ["a", "z"], "match": "any"}, "abc", None, 1.0),
        ({"type": "contains", "values": ["x"], "match": "any"}, "abc", None, 0.0),
        ({"type": "contains", "values": ["ABC"], "ignoreCase": True}, "xabcx", None, 1.0),
        ({"type": "contains", "values": ["b"], "negate": True}, "abc", None, 0.0),
        ({"type": "startsWith", "value": "{"}, '{"a"', None, 1.0),
        ({"type": "regex", "pattern": "^b$"}, "a\nb\nc", None, 1.0),
        ({"type": "numeric"}, "It is 1,234.5 in all", 1234.5, 1.0),
        ({"type": "numeric"}, "first 3, then 4", "3", 0.0),
        ({"type": "numeric", "which": "first"}, "first 3, then 4", "3", 1.0),
        ({"type": "numeric", "which": "only"}, "about 3", 3, 0.0),
        ({"type": "numeric", "absolute": 0.5}, "3.4", 3, 1.0),
        ({"type": "numeric", "relative": 0.01}, "102", 100, 0.0),
        ({"type": "numeric"}, "none", 3, 0.0),
        ({"type": "numeric"}, "3", "three", None),
        ({"type": "refusal"}, "I'm sorry, but I can't help with that.", None, 1.0),
        ({"type": "refusal", "negate": True}, "Of course.", None, 1.0),
        ({"type": "json"}, '{"a": 1}', None, 1.0),
        ({"type": "json"}, '```json\n{"a": 1}\n```', None, 0.0),
        ({"type": "json", "schema": {"required": ["b"]}}, '{"a": 1}', None, 0.0),
        ({"type": "json", "ofRelease": True}, '{"a": 1}', None, 1.0),
        ({"type": "json", "ofRelease": True}, '{"b": 1}', None, 0.0),
        ({"type": "jsonPath", "path": "$.a[1].b", "equals": 2}, '{"a": [0, {"b": 2}]}', None, 1.0),
        ({"type": "jsonPath", "path": "$.a[-1]['b']"}, '{"a": [0, {"b": null}]}', None, 1.0),
        ({"type": "jsonPath", "path": "$.x"}, '{"a": 1}', None, 0.0),
        ({"type": "jsonPath", "path": "$.a[*]", "ofExpected": True}, '{"a": [1, 2]}', {"a": [1, 2], "b": 9}, 1.0),
        ({"type": "jsonPath", "path": "$.a"}, "no", None, 0.0),
        ({"type": "similarity"}, "kitten", "sitting", 1 - 3 / 7),
        ({"type": "similarity", "threshold": 0.5}, "kitten", "sitting", 1.0),
        ({"type": "similarity", "method": "words"}, "the cat sat", "a cat sat down", 4 / 7),
        ({"type": "similarity", "method": "rougeL"}, "police killed the gunman", "police kill the gunman", 0.75),
        ({"type": "similarity", "against": "reference"}, "the reference", None, 1.0),
        ({"type": "length"}, "abc", None, 3.0),
        ({"type": "length", "threshold": 2}, "abc", None, 0.0),
        ({"type": "latency"}, "abc", None, None),
    ],
)
def test_what_scorers_say(scorer: dict[str, Any], output: str, expected: Any, value: float | None) -> None:
    found = judged(scorer, output, expected)
    assert found.value == (None if value is None else pytest.approx(value))
    assert not found.error
    if value == 0.0:
        assert found.detail


def test_costs_are_measured_and_limited() -> None:
    assert judged({"type": "latency"}, "", latency_ms=120.0).value == 120.0
    assert judged({"type": "latency", "threshold": 100}, "", latency_ms=120.0).value == 0.0
    assert judged({"type": "cost", "threshold": 0.01}, "", cost_usd=0.002).value == 1.0
    assert judged({"type": "tokens"}, "", output_tokens=7).value == 7.0


@pytest.mark.parametrize(
    ("names", "arguments", "value"),
    [
        ([], '{"id": 1}', 1.0),
        ([], '{"id": "one"}', 0.0),
        ([], "{", 0.0),
        (["find"], '{"id": 1}', 1.0),
        (["other"], '{"id": 1}', 0.0),
    ],
)
def test_tool_calls_must_fit_the_releases_tools(names: list[str], arguments: str, value: float) -> None:
    calls = [{"type": "function", "function": {"name": "find", "arguments": arguments}}]
    assert judged({"type": "toolCalls", "names": names}, "", tool_calls=calls).value == value


def test_a_tool_that_does_not_exist_is_named() -> None:
    calls = [{"type": "function", "function": {"name": "fly", "arguments": "{}"}}]
    assert judged({"type": "toolCalls"}, "", tool_calls=calls).detail == "there is no tool `fly`"
    assert judged({"type": "toolCalls"}, "just text").value is None


@given(one=st.text("abc", max_size=12), other=st.text("abc", max_size=12))
def test_bit_parallel_distances_are_those_of_the_textbook(one: str, other: str) -> None:
    @lru_cache(None)
    def distance(i: int, j: int) -> int:
        if not i or not j:
            return i + j
        same = one[i - 1] == other[j - 1]
        return min(distance(i - 1, j - 1) + (not same), distance(i - 1, j) + 1, distance(i, j - 1) + 1)

    @lru_cache(None)
    def common(i: int, j: int) -> int:
        if not i or not j:
            return 0
        if one[i - 1] == other[j - 1]:
            return common(i - 1, j - 1) + 1
        return max(common(i - 1, j), common(i, j - 1))

    assert edit_distance(one, other) == distance(len(one), len(other))
    assert common_subsequence(one, other) == common(len(one), len(other))


@pytest.mark.parametrize(
    ("scorer", "said"),
    [
        ({"type": "equal"}, "there is no scorer of type `equal`"),
        ({"type": "equals", "ignorecase": True}, "unknown field `ignorecase`"),
        ({"type": "regex", "pattern": "("}, "the regular expression is wrong"),
        ({"type": "json", "schema": {"type": 5}}, "the JSON Schema is wrong"),
        ({"type": "jsonPath", "path": "a.b"}, "is no JSONPath"),
        ({"type": "jsonPath", "path": "$..a"}, "is not understood"),
        ({"type": "judge", "model": "gpt-4o", "rubric": "good"}, "names no model"),
    ],
)
def test_scorers_that_are_wrong_are_refused(scorer: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        read_scorer(scorer)


def test_a_scorer_is_kept_as_it_was_read() -> None:
    content = scorer_content(read_scorer({"type": "numeric", "relative": 0.1, "name": "total"}))
    assert (content.type, content.parameters) == ("numeric", {"name": "total", "relative": 0.1})
    assert read_scorer({"type": content.type, **content.parameters}).metric == "total"
    assert len(SCORER_TYPES) == 18


# --- code ---------------------------------------------------------------------------------------------------------

CODE = """
import os, time

def length(output, item, answer):
    print("noise")
    return {"value": len(output) / 10, "reason": item["id"]}

def broken(output, item, answer):
    raise ValueError("no " + output)

def slow(output, item, answer):
    time.sleep(60)

def dies(output, item, answer):
    os._exit(3)

def odd(output, item, answer):
    return 0.5

def secret(output, item, answer):
    return "TRIMTAB_SECRET" in os.environ

def parse(output):
    return int(output)
"""


def by_code(tmp_path: Path, function: str, output: str = "abc", kind: str = "code", **more: Any) -> Scored:
    (tmp_path / "own.py").write_text(CODE)
    spec = cast("Code | Parser", read_scorer({"type": kind, "function": f"own:{function}", **more}))
    item = Item(id="1", messages=[{"role": "user", "content": "?"}], expected=7)
    with Sandboxed(spec.function, [tmp_path], timeout_seconds=0.5 if function == "slow" else 10) as sandbox:
        first = judge_by_code(spec, sandbox, Case(item, Answer(output=output)))
        assert judge_by_code(spec, sandbox, Case(item, Answer(output=output))) == first  # also after a death
        return first


def test_a_function_judges_in_a_process_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIMTAB_SECRET", "x")
    assert by_code(tmp_path, "length") == Scored(0.3, "1")
    assert by_code(tmp_path, "secret") == Scored(0.0)


@pytest.mark.parametrize(
    ("function", "said"),
    [("broken", "ValueError: no abc"), ("slow", "longer than 0.5 s"), ("dies", "its process died")],
)
def test_a_function_that_fails_costs_its_item_alone(tmp_path: Path, function: str, said: str) -> None:
    found = by_code(tmp_path, function)
    assert found.value is None
    assert said in found.error


def test_a_binary_function_says_yes_or_no(tmp_path: Path) -> None:
    assert by_code(tmp_path, "odd") == Scored(0.5)
    assert "neither 0 nor 1" in by_code(tmp_path, "odd", binary=True).error


def test_a_features_own_parser_must_take_the_answer(tmp_path: Path) -> None:
    assert by_code(tmp_path, "parse", "7", kind="parser").value == 1.0
    assert by_code(tmp_path, "parse", "7", kind="parser", ofExpected=True).value == 1.0
    assert by_code(tmp_path, "parse", "8", kind="parser", ofExpected=True).value == 0.0
    assert by_code(tmp_path, "parse", "seven", kind="parser").value == 0.0


def test_a_function_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be loaded: AttributeError"):
        by_code(tmp_path, "missing")


def test_the_digest_of_a_function_covers_its_source(tmp_path: Path) -> None:
    spec = read_scorer({"type": "code", "function": "own:length"})
    (tmp_path / "own.py").write_text(CODE)
    before = scorer_content(spec, [tmp_path])
    (tmp_path / "own.py").write_text(CODE + "\n# changed\n")
    assert scorer_content(spec, [tmp_path]) != before


# --- judges -------------------------------------------------------------------------------------------------------


def judge(**more: Any) -> Judge:
    found = read_scorer({"type": "judge", "model": "openai/gpt-4o", "rubric": "Be kind.", **more})
    assert isinstance(found, Judge)
    return found


@pytest.mark.parametrize(
    ("mode", "said", "value"),
    [
        ("grade", '{"reason": "fine", "grade": 4}', 0.75),
        ("grade", 'Let me think. {"grade": 1} no, wait: {"reason": "x", "grade": 5}', 1.0),
        ("grade", '{"grade": 6}', None),
        ("grade", "5", None),
        ("pass", '{"reason": "x", "pass": false}', 0.0),
        ("pass", '```json\n{"pass": true}\n```', 1.0),
        ("pass", '{"pass": "yes"}', None),
    ],
)
def test_a_judges_verdict_is_read(mode: str, said: str, value: float | None) -> None:
    found = point_score(judge(mode=mode), said)
    assert found.value == value
    assert bool(found.error) == (value is None)


@pytest.mark.parametrize(
    ("first", "swapped", "value", "flip"),
    [
        ("A", "B", 1.0, False),
        ("B", "A", 0.0, False),
        ("A", "A", 0.5, True),
        ("tie", "B", 0.75, False),
        ("tie", "tie", 0.5, False),
    ],
)
def test_a_pair_is_judged_in_both_orders(first: str, swapped: str, value: float, flip: Any) -> None:
    found = pair_score(f'{{"better": "{first}"}}', f'{{"better": "{swapped}"}}')
    assert (found.value, found.order_flip) == (value, flip)
    assert pair_score("A", '{"better": "B"}').error


def test_a_judge_is_a_release_of_its_own() -> None:
    one, other = judge_release(judge()), judge_release(judge(grades=7))
    assert one.digest != other.digest
    item = Item(id="1", messages=[{"role": "user", "content": "Why?"}], expected="Because.")
    case = Case(item, Answer(output="{{ not a template }}"))
    messages = PreparedRelease(one).render(variables_of(judge(), case, answer=case.answer.output))
    assert "from 1 (worst) to 5 (best)" in messages[0]["content"]
    assert '{"reason": "...", "grade": 1}' in messages[0]["content"]
    for part in ("Be kind.", "Why?", "Because.", "{{ not a template }}"):
        assert part in messages[1]["content"]
    pair = judge(mode="pair")
    messages = PreparedRelease(judge_release(pair)).render(variables_of(pair, case, answer="x1", other="x2"))
    assert messages[1]["content"].index("x1") < messages[1]["content"].index("x2")


def test_cosine_is_a_cosine() -> None:
    assert cosine([1.0, 0.0], [1.0, 1.0]).value == pytest.approx(0.5**0.5)
    assert cosine([0.0], [1.0]).error
    assert cosine([1.0], [1.0, 2.0]).error


# --- promptfoo ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("assertion", "output", "value"),
    [
        ({"type": "equals", "value": "a"}, "a", 1.0),
        ({"type": "contains", "value": "a, b"}, "x a, b y", 1.0),
        ({"type": "icontains", "value": "A"}, "cab", 1.0),
        ({"type": "contains-all", "value": ["a", "b"]}, "ab", 1.0),
        ({"type": "contains-any", "value": "x, b"}, "ab", 1.0),
        ({"type": "icontains-all", "value": ["A", "B"]}, "ab", 1.0),
        ({"type": "icontains-any", "value": ["X", "B"]}, "ab", 1.0),
        ({"type": "starts-with", "value": "a"}, "ab", 1.0),
        ({"type": "not-starts-with", "value": "a"}, "ab", 0.0),
        ({"type": "regex", "value": "\\d"}, "a1", 1.0),
        ({"type": "is-json"}, "[]", 1.0),
        ({"type": "is-json", "value": {"type": "object"}}, "[]", 0.0),
        ({"type": "is-refusal"}, "I cannot help with that.", 1.0),
        ({"type": "levenshtein", "value": "kitten", "threshold": 3}, "sitten", 1.0),
        ({"type": "levenshtein", "value": "kitten", "threshold": 1}, "sitting", 0.0),
        ({"type": "latency", "threshold": 5}, "a", 0.0),
        ({"type": "cost", "threshold": 0.5}, "a", 1.0),
    ],
)
def test_assertions_mean_the_same_here(assertion: dict[str, Any], output: str, value: float) -> None:
    spec = scorer_of_assertion(assertion)
    assert isinstance(spec, LocalSpec)
    item = Item(id="1", messages=[{"role": "user", "content": "?"}])
    answer = Answer(output=output, latency_ms=9.0, cost_usd=0.1)
    assert spec.settled(spec.judge(Case(item, answer))).value == value


def test_assertions_that_do_not_map_are_named() -> None:
    for kind, why in (
        ("javascript", "has no counterpart"),
        ("python", "has no counterpart"),
        ("similar", "needs an embedding model"),
        ("llm-rubric", "needs a judge"),
    ):
        found = scorer_of_assertion({"type": kind, "value": "x"})
        assert isinstance(found, str)
        assert why in found
    assert "template" in str(scorer_of_assertion({"type": "equals", "value": "{{expected}}"}))
    assert "file://" in str(scorer_of_assertion({"type": "equals", "value": "file://x.txt"}))
    assert len(MAPPED_ASSERTIONS) == 17
    judge = scorer_of_assertion({"type": "llm-rubric", "value": "kind", "provider": "openai:chat:gpt-4o"})
    assert isinstance(judge, Judge)
    assert judge.model == "openai/gpt-4o"
