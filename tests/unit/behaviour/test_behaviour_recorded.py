from __future__ import annotations

import json

import msgspec
import pytest

from trimtab.behaviour.recorded import paired, read_rows
from trimtab.core.errors import SourceError
from trimtab.events import Generation


def lines(*rows: object) -> list[bytes]:
    return [json.dumps(row).encode() + b"\n" for row in rows]


def test_rows_are_read_as_people_write_them() -> None:
    [one, two] = read_rows(
        [
            *lines({"item": 7, "output": "a", "correct": True, "slices": {"language": "de"}, "note": "ignored"}),
            b"\n",
            *lines({"id": "x", "text": "b", "output_tokens": 3, "finish_reason": "length", "score": 0.5}),
        ],
        "old.jsonl",
    )
    assert (one.item, one.output.text, one.output.score, one.slices) == ("7", "a", 1.0, {"language": "de"})
    assert (two.item, two.output.output_tokens, two.output.finish_reason, two.output.score) == ("x", 3, "length", 0.5)


def test_generations_are_paired_by_what_was_asked_or_by_what_they_mirror() -> None:
    def exported(name: str, output: str, mirrors: str = "") -> bytes:
        return msgspec.json.encode(
            Generation(
                id=name,
                at_ms=1,
                feature="f",
                environment="e",
                release="r",
                messages=[{"role": "user", "content": "hi"}],
                output=output,
                tool_calls=[{"function": {"name": "find", "arguments": "{}"}}],
                mirrors=mirrors,
                attributes={"language": "en"},
            )
        )

    old, new = [exported("gen_1", "a")], [exported("gen_2", "b", mirrors="gen_1")]
    for match in ("item", "prompt"):
        [pair] = paired(read_rows(old, "o", match=match), read_rows(new, "n", match=match)).pairs
        assert (pair.old.text, pair.new.text, pair.slices) == ("a", "b", {"language": "en"})
        assert pair.new.tool_calls[0]["function"]["name"] == "find"


def test_what_is_left_over_is_counted() -> None:
    old = read_rows(lines(*({"item": name, "text": name} for name in "aabc")), "o")
    new = read_rows(lines(*({"item": name, "text": name.upper()} for name in "bcd")), "n")
    found = paired(old, new)
    assert [pair.item for pair in found.pairs] == ["b", "c"]
    assert (found.old_alone, found.new_alone, found.repeated) == (1, 1, 1)
    again = read_rows(lines({"item": "c", "text": "c"}), "a")
    assert [pair.item for pair in paired(old, new, again).pairs] == ["c"]


@pytest.mark.parametrize(
    ("line", "match", "message"),
    [
        (b"{", "item", "no JSON"),
        (b"\xff", "item", "no JSON"),
        (b"[]", "item", "must hold a JSON object"),
        (b'{"text": "a"}', "item", "`item` or `id` is missing"),
        (b'{"item": "a", "text": "a"}', "prompt", "`messages` or `prompt` is missing"),
        (b'{"item": "a", "text": 7}', "item", "Expected `str`"),
        (b'{"item": "a", "tool_calls": "{"}', "item", "line 1"),
    ],
)
def test_a_row_that_is_none_is_named(line: bytes, match: str, message: str) -> None:
    with pytest.raises(SourceError, match=message) as raised:
        read_rows([b"\n", line], "old.jsonl", match=match)  # type: ignore[arg-type]
    assert raised.value.param == "old.jsonl:2"


def test_a_row_without_an_answer_is_an_error_and_no_empty_answer() -> None:
    with pytest.raises(SourceError, match="this row has no answer") as raised:
        read_rows(lines({"item": 1, "text": ""}, {"item": 2, "txt": "a"}), "new.jsonl")
    assert raised.value.line == 2
