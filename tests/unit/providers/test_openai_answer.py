from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.artifacts.output_steps import OUTPUT_STEPS
from trimtab.core.errors import UpstreamError
from trimtab.providers.endpoint import Endpoint, authorization
from trimtab.providers.openai import (
    Answer,
    StreamAssembler,
    adapt_completion,
    answer_of_error,
    read_completion,
)
from trimtab.providers.openai.delta_form import DeltaForm
from trimtab.sim.behaviour import ChatRequest, SimAnswer
from trimtab.sim.wire import completion, completion_chunks

REQUEST = ChatRequest(
    model="gpt-x", messages=[{"role": "user", "content": "hi"}], stream_options={"include_usage": True}
)
USAGE = {"prompt_tokens": 3, "completion_tokens": 7, "total_tokens": 10}


def assembled(data: bytes, cuts: list[int], **options: Any) -> tuple[Answer, bytes, StreamAssembler]:
    assembler = StreamAssembler(**{"keep_usage": True, **options})
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    forwarded = b"".join(assembler.feed(data[a:b]) for a, b in itertools.pairwise(places))
    return assembler.answer(), forwarded, assembler


def events(*chunks: Any) -> bytes:
    return b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks)


@given(st.text(), st.lists(st.integers(0, 5000), max_size=12), st.sampled_from([b"\n\n", b"\r\n\r\n"]))
def test_a_stream_cut_anywhere_is_forwarded_unchanged_and_reads_as_the_whole_answer(
    text: str, cuts: list[int], separator: bytes
) -> None:
    said = SimAnswer(text=text)
    data = b"".join(completion_chunks(REQUEST, said, usage=USAGE))
    answer, forwarded, assembler = assembled(data.replace(b"\n\n", separator), cuts)
    assert forwarded == data
    assert answer == read_completion(completion(REQUEST, said, usage=USAGE))
    assert assembler.ended


@given(st.lists(st.integers(0, 5000), max_size=12))
def test_tool_calls_and_refusals_are_put_together(cuts: list[int]) -> None:
    for said in (SimAnswer(tool_call=("track", '{"order":"A-1"}')), SimAnswer(text="I will not.", refused=True)):
        data = b"".join(completion_chunks(REQUEST, said, usage=USAGE))
        assert assembled(data, cuts)[0] == read_completion(completion(REQUEST, said, usage=USAGE))


@given(st.lists(st.integers(0, 5000), max_size=12))
def test_the_usage_chunk_is_dropped_where_nobody_asked_and_counted_all_the_same(cuts: list[int]) -> None:
    data = b"".join(completion_chunks(REQUEST, SimAnswer(text="a b c"), usage=USAGE))
    answer, forwarded, _ = assembled(data, cuts, keep_usage=False)
    assert b"usage" not in forwarded
    assert forwarded.endswith(b"data: [DONE]\n\n")
    assert (answer.input_tokens, answer.output_tokens) == (3, 7)


@given(
    st.text(min_size=1) | st.sampled_from(['Sure:\n\n{"a": 1}', "Sure!\n\n1\n\nLet me know!"]),
    st.lists(st.sampled_from(sorted(OUTPUT_STEPS)), min_size=1, max_size=3),
    st.lists(st.integers(0, 5000), max_size=12),
)
def test_adapted_streams_say_what_the_adapted_whole_says(text: str, steps: list[str], cuts: list[int]) -> None:
    said = SimAnswer(text=f"```json\n{text}\n```" if len(text) % 2 else text)
    data = b"".join(completion_chunks(REQUEST, said, usage=USAGE))
    answer, forwarded, _ = assembled(data, cuts, steps=steps)
    whole = read_completion(adapt_completion(completion(REQUEST, said, usage=USAGE), steps))
    assert answer == whole
    assert assembled(forwarded, [])[0] == whole


def test_comments_and_other_choices_pass_and_the_first_choice_is_recorded() -> None:
    data = b": keep-alive\n\n" + events(
        {"choices": [{"index": 1, "delta": {"content": "other"}}]},
        {"choices": [{"index": 0, "delta": {"content": "first"}}]},
        {"choices": [{"index": 0, "delta": {}, "finish_reason": "length"}]},
    )
    answer, forwarded, assembler = assembled(data, [])
    assert forwarded == data
    assert (answer.output, answer.finish_reason) == ("first", "length")
    assert (assembler.complete, assembler.ended) == (True, False)


def test_an_error_inside_a_stream_is_passed_and_noted() -> None:
    answer, forwarded, _ = assembled(events({"error": {"message": "m", "code": "overloaded"}}), [])
    assert answer.error_code == "overloaded"
    assert b"overloaded" in forwarded


@pytest.mark.parametrize("data", [b"data: {nonsense}\n\n", b'data: {"choices": 3}\n\n', b"data: \xff\n\n"])
def test_what_is_no_chunk_is_an_upstream_error(data: bytes) -> None:
    with pytest.raises(UpstreamError, match="no chunk"):
        assembled(data, [])


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        (b'{"error": {"message": "m", "type": "t", "code": "rate_limit_exceeded"}}', "rate_limit_exceeded"),
        (b'{"error": {"message": "m", "type": "t", "code": null}}', "upstream_status_500"),
        (b"<html>Bad gateway</html>", None),
        (b'{"error": "plain"}', None),
        (b"\xff", None),
    ],
)
def test_errors_are_read_where_they_have_openais_shape(body: bytes, answer: str | None) -> None:
    read = answer_of_error(500, body)
    assert (read.error_code if read else None) == answer


def test_content_in_parts_and_answers_without_choices_are_read() -> None:
    body = b'{"choices": [{"message": {"content": [{"type": "text", "text": "a"}, {"text": "b"}]}}]}'
    assert read_completion(body).output == "ab"
    assert read_completion(b'{"model": "m"}') == Answer(served_model="m")
    for wrong in (b"[]", b"", b"\xff"):
        with pytest.raises(UpstreamError):
            read_completion(wrong)


def test_a_key_is_sent_never_shown_and_missed_by_its_name() -> None:
    endpoint = Endpoint(name="openai", base_url="https://x/v1", api_key_env="THE_KEY", api_key="sk-secret\n")
    assert b"authorization: Bearer sk-secret\r\n" in authorization(endpoint)
    assert "sk-secret" not in repr(endpoint)
    with pytest.raises(UpstreamError) as raised:
        authorization(Endpoint(name="openai", base_url="https://x/v1", api_key_env="THE_KEY"))
    assert raised.value.param == "THE_KEY"


TEXTS = st.lists(
    st.text(min_size=0, max_size=12) | st.sampled_from(["a", "Hi", "\u20ac", '"', "\\", "\n", "finish_reason", "x"])
)
FORMS: dict[str, Any] = {
    "usual": lambda text: {
        "id": "c",
        "model": "m",
        "choices": [{"index": 0, "delta": {"content": text}}],
        "usage": None,
    },
    "text elsewhere, too": lambda text: {
        "system_fingerprint": "a",
        "choices": [{"index": 0, "delta": {"content": text}, "logprobs": {"content": [{"token": text}]}}],
    },
    "something random": lambda text: {
        "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}],
        "obfuscation": "r" * (len(text) % 5),
    },
    "the text of a second choice": lambda text: {"choices": [{"index": 1, "delta": {"content": text}}]},
    "with the role": lambda text: {"choices": [{"index": 0, "delta": {"role": "assistant", "content": text}}]},
    "a tool's argument": lambda text: {
        "choices": [{"index": 0, "delta": {"content": "a", "tool_calls": [{"function": {"arguments": text}}]}}]
    },
}


@given(
    TEXTS,
    st.lists(st.integers(0, 5000), max_size=6),
    st.lists(st.sampled_from(sorted(FORMS)), min_size=1, max_size=3),
    st.booleans(),
    st.sampled_from([(",", ":"), (", ", ": ")]),
)
def test_events_known_by_their_form_say_what_they_say_decoded(
    texts: list[str],
    cuts: list[int],
    forms: list[str],
    escaped: bool,  # noqa: FBT001
    separators: tuple[str, str],
) -> None:
    chunks = [FORMS[forms[number % len(forms)]](text) for number, text in enumerate(texts)]
    spelt = [json.dumps(chunk, ensure_ascii=escaped, separators=separators) for chunk in chunks]
    data = b"".join(b"data: " + one.encode(errors="replace") + b"\n\n" for one in spelt)
    alone = StreamAssembler(keep_usage=True)
    for one in data.split(b"\n\n"):
        if one:
            alone._form = DeltaForm()  # as if each were the first
            alone.feed(one + b"\n\n")
    answer, forwarded, assembler = assembled(data, cuts)
    assert answer == alone.answer()
    assert forwarded == data
    assert (assembler.started, assembler.complete) == (alone.started, alone.complete)


def test_a_form_does_not_hide_what_is_no_utf_8() -> None:
    assembler = StreamAssembler(keep_usage=True)
    event = events(FORMS["usual"]("Hi"))
    assert assembler.feed(event * 3) == event * 3
    with pytest.raises(UpstreamError):
        assembler.feed(event.replace(b"Hi", b"H\xff"))


def test_texts_that_share_a_packet_are_one_piece() -> None:
    texts = [f" word{number}" for number in range(50)]
    answer, forwarded, _ = assembled(events(*map(FORMS["usual"], texts)), [])
    assert answer.output == "".join(texts)
    assert forwarded.count(b"\n\n") == 50
