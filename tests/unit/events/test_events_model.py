from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.events import Event, Exposure, Feedback, Generation, Score, decode_event, encode_event
from trimtab.events.model import subject_id

base: dict[str, Any] = {"id": "gen_1", "at_ms": 1, "feature": "f", "environment": "production"}


@given(
    st.builds(
        Generation,
        at_ms=st.integers(0, 2**53),
        variables=st.dictionaries(st.text(), st.integers(0, 9)),
        messages=st.just([]),
        tool_calls=st.just([]),
    )
)
def test_what_is_encoded_decodes_to_the_same_event(event: Generation) -> None:
    assert decode_event(encode_event(event)) == event


def test_every_event_knows_the_generation_it_is_about() -> None:
    about: dict[str, Any] = {**base, "id": "sco_1", "generation": "gen_1", "name": "n", "value": 1.0}
    events: list[Event] = [
        Generation(**base, release="sha256:0"),
        Exposure(**base, release="sha256:0"),
        Score(**about),
        Feedback(**about),
    ]
    assert [subject_id(event) for event in events] == ["gen_1"] * 4


def test_an_event_from_an_older_version_opens_with_defaults() -> None:
    oldest = msgspec.msgpack.encode({"k": "generation", **base, "release": "sha256:0"})
    event = decode_event(oldest)
    assert isinstance(event, Generation)
    assert (event.arm, event.stage, event.output) == ("stable", -1, "")


def test_a_field_from_a_newer_version_is_passed_over() -> None:
    newer = msgspec.msgpack.encode({"k": "exposure", **base, "release": "sha256:0", "invented_later": 1})
    assert isinstance(decode_event(newer), Exposure)


def test_what_is_no_event_is_refused() -> None:
    with pytest.raises(msgspec.DecodeError):
        decode_event(b"\x93\x01\x02\x03")
