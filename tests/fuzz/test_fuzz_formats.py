"""Requests and answers of every format, damaged anywhere: each translation takes them or says what is wrong with them.

For longer than a test may take: `python -m tests.fuzz requests --minutes 10`, and the same of `answers` and `streams`.
"""

from __future__ import annotations

import copy
import re
from typing import TYPE_CHECKING, Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.integration.formats.case_files import ANSWERS, REQUESTS
from tests.integration.formats.speak import whole, written

from trimtab.artifacts.model import AdapterContent, ModelContent, PromptContent, PromptMessage
from trimtab.calls.formats import translation_of
from trimtab.core.errors import InputError, UpstreamError
from trimtab.releases.model import CompiledRelease, wire_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trimtab.calls.formats import Format, Translation

FORMATS: tuple[Format, ...] = ("chat", "responses", "messages")
PROMPT = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Listen."}]


def _translation(caller: Format, model: Any, *, full: bool) -> Translation:
    """`full`: with a prompt before the caller's messages, and adapters on the answer."""
    called = ModelContent(provider="here", model="m", api=model)
    messages = [PromptMessage(role=one["role"], content=one["content"]) for one in PROMPT] if full else []  # type: ignore[arg-type]
    release = CompiledRelease(
        digest="sha256:1",
        feature="f",
        number=1,
        prompt=PromptContent(messages=messages, variables={}),
        model=called,
        adapter=AdapterContent(output=["trim", "strip_code_fence"]) if full else None,
        wire=wire_of(called),
    )
    return translation_of(caller, release)


TRANSLATIONS = {
    (caller, model, full): _translation(caller, model, full=full)
    for caller in FORMATS
    for model in FORMATS
    for full in (False, True)
}
SAID = [(caller, said) for case in REQUESTS for caller in FORMATS if (said := case.said_in(caller)) is not None]

JUNK: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, 0, -1, 1.5, 10**30, "", "x", "data:image/png;base64,", [], {}, [None], [[]], [{}], {"type": ["x"]}]
).map(copy.deepcopy) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
    lambda below: (
        st.lists(below, max_size=2) | st.dictionaries(st.sampled_from(["type", "text", "a"]), below, max_size=2)
    ),
    max_leaves=4,
)
TIME = re.compile(rb'"created(_at)?":[0-9.]+')
KEYS = st.sampled_from(["type", "role", "content", "name", "text", "input", "function", "error", "usage", "delta"])


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    inside: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inside:
        yield (*path, key)
        yield from _places(item, (*path, key))


@st.composite
def damaged(draw: st.DrawFn, values: st.SearchStrategy[Any]) -> Any:
    """A value in which something was changed, taken out or put in."""
    value = copy.deepcopy(draw(values))
    for _ in range(draw(st.integers(1, 3))):
        places = list(_places(value))
        if not places:
            return value
        *way, key = draw(st.sampled_from(places))
        holder: Any = value
        for step in way:
            holder = holder[step]
        match draw(st.sampled_from(["change", "change", "remove", "add"])):
            case "remove":
                del holder[key]
            case "add" if isinstance(holder, dict):
                holder[draw(KEYS)] = draw(JUNK)
            case _:
                holder[key] = draw(JUNK)
    return value


@st.composite
def requests(draw: st.DrawFn) -> tuple[Format, dict[str, Any]]:
    format, said = draw(st.sampled_from(SAID))  # noqa: A001 - the field's word
    return format, draw(damaged(st.just(said)))


@st.composite
def answers(draw: st.DrawFn) -> tuple[Format, bytes]:
    """An upstream's format and a damaged answer in it."""
    model, case = draw(st.sampled_from(FORMATS)), draw(st.sampled_from(ANSWERS))
    return model, msgspec.json.encode(draw(damaged(st.just(msgspec.json.decode(whole(case.says, model))))))


@st.composite
def streams(draw: st.DrawFn) -> tuple[Format, bytes]:
    """An upstream's format and a stream in it, of which events are damaged, lost, repeated or cut short."""
    model, case = draw(st.sampled_from(FORMATS)), draw(st.sampled_from(ANSWERS))
    events = written(case.says, model).split(b"\n\n")
    for _ in range(draw(st.integers(1, 2))):
        at = draw(st.integers(0, len(events) - 1))
        name, found, data = events[at].partition(b"data: ")
        match draw(st.sampled_from(["damage", "damage", "damage", "lose", "repeat", "cut"])):
            case "damage" if found and data.startswith(b"{") and data.endswith(b"}"):
                events[at] = name + found + msgspec.json.encode(draw(damaged(st.just(msgspec.json.decode(data)))))
            case "lose" if len(events) > 1:
                del events[at]
            case "repeat":
                events.insert(draw(st.integers(0, len(events))), events[at])
            case _:
                events[at] = events[at][: draw(st.integers(0, len(events[at])))]
    return model, b"\n\n".join(events)


def check_request(request: tuple[Format, dict[str, Any]]) -> None:
    """A request is translated to JSON that can be recorded, or an error names what is wrong with it."""
    caller, body = request
    for model in FORMATS:
        for full in (False, True):
            translation = TRANSLATIONS[caller, model, full]
            refused = None
            try:
                sent = translation.request(PROMPT if full else [], {"model": "f", **copy.deepcopy(body)})
                msgspec.json.encode([sent, translation.recorded(sent)])
            except InputError as error:
                refused = error
            assert refused is None or refused.param


def check_answer(answer: tuple[Format, bytes]) -> None:
    """An answer is read and translated to JSON, or it is malformed; as an error it has a shape or none."""
    model, body = answer
    for caller in FORMATS:
        for full in (False, True):
            translation = TRANSLATIONS[caller, model, full]
            try:
                facts, told = translation.read(body)
                msgspec.json.decode(told)
                msgspec.json.encode(facts)
            except UpstreamError:
                pass
            known = translation.error(500, body)
            assert known is None or known[0].error_code


def check_stream(stream: tuple[Format, bytes], cut: int) -> None:
    """A stream is read alike wherever it is cut, and told in whole events, or it is malformed."""
    model, raw = stream
    cut %= len(raw) + 1
    for caller in FORMATS:
        for full in (False, True):
            translation = TRANSLATIONS[caller, model, full]
            whole_one = _play(translation, [raw])
            assert _play(translation, [raw[:cut], raw[cut:]]) == whole_one


def _play(translation: Translation, pieces: list[bytes]) -> tuple[list[bytes], Any]:
    reader = translation.stream({"model": "f", "stream": True})
    told = b""
    try:
        for piece in pieces:
            told += reader.feed(piece)
        told += reader.end() if reader.complete else b""
    except UpstreamError as error:
        return [], error.code
    assert told.endswith(b"\n\n") or not told
    answer = reader.answer()
    msgspec.json.encode(answer)
    # Messages do not tell the time, so it is now; empty lines more or less say nothing.
    events = [event.strip(b"\n") for event in TIME.sub(b"", told).split(b"\n\n")]
    return list(filter(None, events)), answer


REQUESTS_TARGET: Any = given(request=requests())(check_request)
ANSWERS_TARGET: Any = given(answer=answers())(check_answer)
STREAMS_TARGET: Any = given(stream=streams(), cut=st.integers(0, 1_000_000))(check_stream)


@settings(max_examples=300, derandomize=True)
@given(request=requests())
def test_a_damaged_request_is_carried_or_refused_by_a_name(request: tuple[Format, dict[str, Any]]) -> None:
    check_request(request)


@settings(max_examples=200, derandomize=True)
@given(answer=answers())
def test_a_damaged_answer_is_read_or_malformed(answer: tuple[Format, bytes]) -> None:
    check_answer(answer)


@settings(max_examples=200, derandomize=True)
@given(stream=streams(), cut=st.integers(0, 1_000_000))
def test_a_damaged_stream_is_read_alike_however_it_comes_or_malformed(stream: tuple[Format, bytes], cut: int) -> None:
    check_stream(stream, cut)
