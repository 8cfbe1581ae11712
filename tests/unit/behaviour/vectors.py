"""What every detector says of what: at least one output it says yes to (or counts), and one it says no to."""

from __future__ import annotations

from typing import Any

from trimtab.behaviour import Expected, Output
from trimtab.behaviour.reading import Usual

LONG = "word " * 50
CALL = {"function": {"name": "find", "arguments": '{"number": 7}'}}
OTHER = {"name": "search", "arguments": {"q": "x"}}
SCHEMA = {
    "type": "object",
    "properties": {"a": {"type": "integer"}, "b": {"type": "object", "properties": {"c": {}}}},
    "required": ["a"],
}
EXPECTED = Expected(schema=SCHEMA, tools=frozenset({"find"}), parser=int)
USUAL = Usual(
    keys=frozenset({"a", "b"}),
    order={frozenset({"a", "b"}): ("a", "b")},
    types={"a": "integer", "b": "string"},
    cases={"level": "lower"},
    arguments={"find": frozenset({"number"})},
    argument_types={("find", "number"): "integer"},
    language="en",
    opening="(a) ",
    ending=".",
)


def said(text: str = "", **more: Any) -> Output:
    return Output(text=text, **more)


def called(*calls: dict[str, Any], text: str = "") -> Output:
    return Output(text=text, tool_calls=list(calls))


VECTORS: dict[str, list[tuple[Output, float | None]]] = {
    "parser.reads": [(said("12"), True), (said("twelve"), False)],
    "code.parses": [
        (said("def f(x):\n    return x\n"), True),
        (said("x = 1"), True),
        (said("import os"), True),
        (said("Yes"), False),
        (said("42"), False),
        (said("```python\nx = 1\n```"), False),
        (said("x = (1"), False),
        (said("if you want: no"), False),
        (said("x = '\\d'"), True),
        (said("x = 1\x00"), False),
    ],
    "code.inside": [
        (said("Here:\n```python\nx = 1\n```\nDone."), True),
        (said("x = 1"), True),
        (said("Here:\n```python\nx = (1\n```"), False),
    ],
    "json.parses": [
        (said(' {"a": 1}\n'), True),
        (said("[1]"), True),
        (said("12"), False),
        (said('{"a": NaN}'), False),
        (said("{'a': 1}"), False),
        (said('{"a": 1} done'), False),
        (said("[" * 100_000), False),
    ],
    "json.schema": [(said('{"a": 1}'), True), (said('{"a": "1"}'), False), (said("a"), False)],
    "json.wrapped": [(said('Sure: {"a": 1}'), True), (said('{"a": 1}'), False), (said("as told [1]"), False)],
    "json.trailing": [(said('{"a": 1}\nDone.'), True), (said('{"a": 1}\n'), False), (said('x {"a": 1}'), False)],
    "json.unknown_keys": [
        (said('{"a": 1, "z": 2}'), True),
        (said('{"a": 1, "b": {"d": 1}}'), True),
        (said('{"a": 1, "b": {"c": {"any": 1}}}'), False),
        (said("[1]"), None),
    ],
    "json.keys": [(said('{"b": 1, "a": 1}'), True), (said('{"a": 1}'), False), (said("text"), None)],
    "json.types": [
        (said('{"a": 1, "b": "x"}'), True),
        (said('{"a": null, "b": "x"}'), True),
        (said('{"a": "1", "b": "x"}'), False),
        (said('{"a": true}'), False),
        (said("text"), None),
    ],
    "json.number_as_string": [(said('{"a": ["12.5"]}'), True), (said('{"a": 12.5, "b": "1a"}'), False)],
    "json.null": [(said('{"a": [null]}'), True), (said('{"a": "null"}'), False), (said("null"), False)],
    "json.enum_case": [
        (said('{"level": "high", "n": [{"level": "low"}]}'), True),
        (said('{"level": "HIGH"}'), False),
        (said('{"level": "High"}'), False),
        (said('{"x": "high"}'), False),
        (said('{"level": "two words"}'), None),
        (said("HIGH"), None),
    ],
    "json.empty_string": [(said('{"a": ""}'), True), (said('{"a": " "}'), False)],
    "json.key_order": [
        (said('{"a": 1, "b": 2}'), True),
        (said('{"b": 1, "a": 2}'), False),
        (said('{"a": 1}'), None),
    ],
    "json.indented": [(said('{\n  "a": 1\n}'), True), (said('{"a": 1}\n'), False), (said("a\nb"), None)],
    "fence.first": [(said("```\nx\n```"), True), (said(" ```\nx\n```"), False)],
    "fence.whole": [(said("```json\n{}\n```"), True), (said("x\n```json\n{}\n```"), False), (said("x"), False)],
    "fence.unclosed": [(said("```\nx"), True), (said("```\nx\n```"), False)],
    "fence.any": [(said("a\n  ```\nx\n```"), True), (said("use ``` here"), False)],
    "fence.language": [(said("a\n```python\nx\n```"), True), (said("```\nx\n```"), False), (said("x"), None)],
    "tool.called": [(called(CALL), True), (said("find"), False)],
    "tool.invalid_arguments": [
        (called({"function": {"name": "find", "arguments": '{"number": '}}), True),
        (called({"function": {"name": "find", "arguments": "[1]"}}), True),
        (called(CALL, OTHER), False),
        (said("x"), None),
    ],
    "tool.unknown": [(called(OTHER), True), (called(CALL), False), (said("x"), None)],
    "tool.arguments": [
        (called(CALL), True),
        (called({"name": "find", "arguments": {"id": 7}}), False),
        (called({"name": "find", "arguments": "{"}), False),
        (said("x"), None),
    ],
    "tool.argument_types": [
        (called(CALL), True),
        (called({"name": "find", "arguments": {"number": "7"}}), False),
        (said("x"), None),
    ],
    "tool.parallel": [(called(CALL, CALL), True), (called(CALL), False), (said("x"), None)],
    "tool.text": [(called(CALL, text="I look it up."), True), (called(CALL, text=" \n"), False), (said("x"), None)],
    "answer.right": [(said(score=0.5), True), (said(score=0.4), False), (said(), None)],
    "answer.empty": [(said(" \n"), True), (said("x"), False), (called(CALL), False)],
    "answer.cut_off": [
        (said("x", finish_reason="length"), True),
        (said("x", finish_reason="stop"), False),
        (said("x"), None),
    ],
    "answer.unfinished": [(said(LONG), True), (said(LONG.strip() + "."), False), (said("short"), None)],
    "answer.language": [
        (said("The cat is on the mat and it sleeps."), True),
        (said("Die Katze liegt auf der Matte und schläft."), False),
        (said("猫はマットの上で寝ています。とても静かです。"), False),
        (said("ok"), None),
    ],
    "answer.refusal": [
        (said("I'm sorry, but I can't assist with that."), True),
        (said("x", finish_reason="content_filter"), True),
        (said("Here is how it works."), False),
    ],
    "answer.evasion": [
        (said("This question is subjective and depends on the individual."), True),
        (said("As an AI, I don't have personal opinions."), True),
        (said("It depends on the temperature."), False),
    ],
    "answer.reasons": [
        (said("Step 1: divide by 2."), True),
        (said("To solve this, ..."), True),
        (said("No"), False),
    ],
    "answer.asks": [(said('Shall I go on?"\n'), True), (said("Why? Because."), False)],
    "answer.opening": [(said("(B) Rather not."), True), (said("(B). Rather not."), False), (said(" "), None)],
    "answer.ending": [(said("Rather not. \n"), True), (said("Rather not"), False), (said(" "), None)],
    "answer.preamble": [(said("Sure! Here is the list:\n- a"), True), (said("The list:\n- a"), False)],
    "answer.closer": [(said("a\n\nLet me know if you need more."), True), (said("a\n\nIt is done."), False)],
    "answer.apology": [(said("I apologize for that."), True), (said("No problem."), False)],
    "answer.as_an_ai": [(said("As an AI language model, I ..."), True), (said("Das ist ein AI."), False)],
    "date.iso": [(said("on 2026-03-09"), True), (said("2026-13-09"), False)],
    "date.slashes": [(said("on 3/9/2026"), True), (said("1/2 cup"), False)],
    "date.dots": [(said("am 9.3.2026"), True), (said("version 1.2.3"), False)],
    "date.named": [(said("March 9th, 2026"), True), (said("9 Mar. 2026"), True), (said("it may 9 times"), False)],
    "number.grouped": [(said("12,500 people"), True), (said("1,2 or 12500"), False)],
    "number.decimal_comma": [(said("12,5 kg"), True), (said("12,500 and 12.5"), False)],
    "number.currency": [
        (said("costs $5"), True),
        (said("5 €"), True),
        (said("$4^2 + 6^2$"), False),
        (said("five dollars"), False),
    ],
    "number.percent": [(said("5 % of"), True), (said("five percent"), False)],
    "unicode.ascii": [(said("plain"), True), (said("naïve"), False)],
    "unicode.curly_quotes": [(said("it\u2019s"), True), (said("it's \u2014"), False)],
    "unicode.dashes": [(said("a \u2014 b"), True), (said("a - b"), False)],
    "unicode.ellipsis": [(said("a\u2026"), True), (said("a..."), False)],
    "unicode.odd_spaces": [(said("a\u00a0b"), True), (said("a b \u2019"), False)],
    "unicode.emoji": [(said("ok \U0001f44d"), True), (said("ok :) \u00e9"), False)],
    "length.characters": [(said("four"), 4), (said(), None)],
    "length.lines": [(said("a\n\nb"), 3), (said(), None)],
    "length.words_per_line": [(said("a b\n\nc d e f"), 3.0), (said(" "), None)],
    "length.questions": [(said("a? b?"), 2), (said("a"), 0)],
    "length.digits": [(said("a1b2"), 0.5), (said("ab"), 0.0), (said(), None)],
    "markdown.heading": [(said("text\n## Title"), True), (said("#hashtag"), False)],
    "markdown.bullets": [(said("- a\n- b"), True), (said("- a"), False), (said("-a\n-b"), False)],
    "markdown.numbered": [(said("1. a\n2) b"), True), (said("1.5 a\n2 b"), False)],
    "markdown.bold": [(said("a **b** c"), True), (said("2 ** 3 and\n** 4"), False)],
    "markdown.table": [(said("a | b\n--- | ---\n1 | 2"), True), (said("a | b\n---"), False)],
    "markdown.link": [(said("[a](https://b)"), True), (said("[a] (b)"), False)],
    "markdown.code": [(said("use `x`"), True), (said("```\nx\n```"), False)],
    "markdown.latex": [
        (said("\\boxed{1}"), True),
        (said("\\(x\\)"), True),
        (said("$4^2 = 16$"), True),
        (said("$5 and $6"), False),
    ],
    "model.other": [
        (said(requested_model="gpt-4", served_model="gpt-3.5-turbo"), True),
        (said(requested_model="gpt-4", served_model="gpt-4-0613"), False),
        (said(requested_model="openai/gpt-4", served_model="gpt-4"), False),
        (said(requested_model="gpt-4"), None),
    ],
    "usage.missing": [(said("x"), True), (said("x", output_tokens=1), False), (said(), False)],
    "usage.input_tokens": [(said(input_tokens=7), 7), (said(), None)],
    "usage.output_tokens": [(said(output_tokens=7), 7), (said(output_tokens=0), None)],
    "usage.density": [(said("x" * 100, output_tokens=25), 0.25), (said("x", output_tokens=1), None)],
    "cost.usd": [(said(cost_usd=0.5), 0.5), (said(), None)],
    "latency.total_ms": [(said(latency_ms=9.0), 9.0), (said(), None)],
    "latency.first_token_ms": [(said(first_token_ms=9.0), 9.0), (said(), None)],
}
