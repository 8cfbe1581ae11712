"""The short way of the usual request means the same as the way through all layers, whatever comes of it."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from tests.integration.gateway.resilience.two_ways import (
    BODY,
    KEY,
    THROUGH_ALL_LAYERS,
    WELL,
    Line,
    facts,
    framed,
    shown,
)

from trimtab.policy.keys import hash_key
from trimtab.serving.snapshot import RolloutRoute
from trimtab.serving.team_limit import TeamLimit

if TYPE_CHECKING:
    from collections.abc import Callable

CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(WELL), WELL)
SCRIPTS: dict[str, list[tuple[Any, ...]]] = {
    "well": [(framed(WELL, b"x-request-id: r-1", b"openai-version: 1", b"server: x"),)],
    "in two packets": [(framed(WELL)[:100], 0.05, framed(WELL)[100:])],
    "head and body apart": [(framed(WELL)[: -len(WELL)], 0.05, WELL)],
    "chunked": [(CHUNKED,)],
    "until the connection closes": [(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n" + WELL, None)],
    "an interim answer first": [(b"HTTP/1.1 103 Early Hints\r\n\r\n" + framed(WELL),)],
    "another status": [(framed(WELL, status=201),)],
    "no completion": [(framed(b"[1, 2]"),)],
    "no JSON": [(framed(b"<html>"),)],
    "nothing": [(framed(b""),)],
    "no HTTP": [(b"SSH-2.0-OpenSSH\r\n",)],
    "cut in the middle": [(framed(WELL)[:-5], None)],
    "two answers": [(framed(WELL) + framed(WELL),)],
    "an error that passes": [(500,)],
    "an error that stays": [(500,), (502,), (503,)],
    "a refusal": [(400,)],
    "our key refused": [(401,)],
    "a limit that passes": [((429, "retry-after-ms: 20"),)],
    "closed when it was asked": [(None,)],
    "closed again and again": [(None,), (None,), (None,), (None,)],
    "silent": [(1.0,)],
    "encoded": [(framed(WELL, b"content-encoding: gzip"),)],
    "longer than is taken": [(framed(b'{"a": "%s"}' % (b"x" * 70_000)),)],
}


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
def test_whatever_is_answered_both_ways_tell_and_record_the_same(
    play: Callable[..., dict[str, Any]], taken: list[bool], script: list[tuple[Any, ...]]
) -> None:
    short = play(script, {})
    assert taken.count(True) >= 2
    taken.clear()
    assert play(script, {}, THROUGH_ALL_LAYERS) == short
    assert True not in taken


STREAMS: dict[str, list[tuple[Any, ...]]] = {
    "at once": [("head", "first piece", "rest")],
    "in pieces": [("head", 0.02, "first piece", 0.02, "first piece", 0.02, "rest")],
    "cut before it began": [("head", None)],
    "cut in the middle": [("head", "first piece", None)],
    "an error before it begins": [(500,)],
    "a whole answer instead": [(framed(WELL),)],
    "not in chunks": [
        (b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: {}\n\ndata: [DONE]\n\n", None)
    ],
    "an extension in a chunk": [("head", "first piece", b"0e;a=b\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")],
    "a chunk that lies": [("head", "first piece", b"2\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")],
    "no chunk": [("head", "first piece", b"data: [DONE]\n\n")],
    "trailers": [("head", "first piece", b"e\r\ndata: [DONE]\n\n\r\n0\r\nx-a: 1\r\n\r\n")],
    "closed when it was asked": [(None,), ("head", "rest")],
}


@pytest.mark.parametrize("script", STREAMS.values(), ids=STREAMS)
def test_streams_tell_and_record_the_same_both_ways(
    play: Callable[..., dict[str, Any]], taken: list[bool], script: list[tuple[Any, ...]]
) -> None:
    short = play(script, {"stream": True})
    assert True in taken
    taken.clear()
    assert play(script, {"stream": True}, THROUGH_ALL_LAYERS) == short
    assert True not in taken


@pytest.mark.parametrize("capture", [True, False])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "beside",
    [
        {"variables": {"shop": "Acme \u20ac"}},
        {"variables": {"shop": "Acme"}, "attributes": {"language": "de"}},
        {"variables": {"shop": "Acme", "stop": 1}},
        {"variables": {}},
        {"variables": ["shop"]},
        {"variables": {"shop": "Acme"}, "attributes": {"language": 1}},
        {"variable": {"shop": "Acme"}},
        [],
        None,
    ],
    ids=str,
)
def test_variables_and_attributes_mean_the_same_both_ways(
    play: Callable[..., dict[str, Any]],
    taken: list[bool],
    beside: Any,
    stream: bool,  # noqa: FBT001
    capture: bool,  # noqa: FBT001
) -> None:
    extra = {"trimtab": beside, "stream": stream}
    short = play([], extra, system="You answer for {{ shop }}.", capture=capture)
    well = isinstance(beside, dict) and beside.get("variables") == {"shop": "Acme \u20ac"}
    assert (True in taken) == (short["answers"][3][0] == "HTTP/1.1 200 OK")
    assert (True in taken) or not well
    taken.clear()
    assert play([], extra, THROUGH_ALL_LAYERS, system="You answer for {{ shop }}.", capture=capture) == short
    assert True not in taken


@pytest.mark.parametrize(
    "options",
    [
        {"capture": False},
        {"limits": {"*": TeamLimit(requests_per_minute=4)}},
        {"limits": {"*": TeamLimit(usd_per_day=0.00004)}},
        {"limits": {"*": TeamLimit(concurrent=1)}},
        {"keys": {hash_key(KEY): "support"}, "limits": {"support": TeamLimit(requests_per_minute=100)}},
    ],
    ids=["no content", "requests", "money", "at once", "a key"],
)
def test_limits_and_keys_are_the_same_on_both_ways(
    play: Callable[..., dict[str, Any]], taken: list[bool], options: dict[str, Any]
) -> None:
    lines = [f"authorization: Bearer {KEY}"] if "keys" in options else []
    short = play([], {}, *lines, **options)
    assert True in taken
    assert play([], {}, THROUGH_ALL_LAYERS, *lines, **options) == short


@pytest.mark.parametrize(
    "line",
    [
        "x-trimtab-session: s-1",
        "x-trimtab-variables: {}",
        "x-trimtab-new: 1",
    ],
)
def test_a_head_that_says_more_of_the_call_goes_through_the_layers(
    play: Callable[..., dict[str, Any]], taken: list[bool], line: str
) -> None:
    through = play([], {"user": ""}, line)
    assert taken == []
    assert [status for status, *_ in through["answers"]] == ["HTTP/1.1 200 OK"] * 5


@pytest.mark.parametrize(
    ("said", "lines", "short"),
    [
        ({"user": "u-1"}, ["x-trimtab-unit: u-9"], True),
        ({"user": ""}, ["X-Trimtab-Unit: u-9"], True),
        ({"user": "u-1"}, ["x-trimtab-unit: u 9"], False),
        ({"user": "u-1"}, ["x-trimtab-unit: "], False),
        ({"user": "u-1", "safety_identifier": "s-1"}, [], True),
        ({"user": "", "safety_identifier": "s-1"}, [], True),
        ({"user": None, "safety_identifier": "s-1"}, [], False),
        ({"user": 0, "safety_identifier": "s-1"}, [], False),
        ({"user": "", "safety_identifier": 1}, [], False),
        ({"user": "", "safety_identifier": None}, [], False),
        ({"user": "u" * 513}, [], False),
    ],
    ids=str,
)
def test_a_unit_is_the_same_both_ways(
    play: Callable[..., dict[str, Any]], taken: list[bool], said: dict[str, Any], lines: list[str], *, short: bool
) -> None:
    one = play([], said, *lines)
    assert (True in taken) == short
    taken.clear()
    assert play([], said, *lines, "x-trimtab-variables: {}") == one
    assert True not in taken


def test_a_key_that_was_revoked_opens_nothing_any_more(
    stack: Callable[..., Any], release: Callable[..., Any], snapshot: Callable[..., Any], taken: list[bool]
) -> None:
    prompt = release(system="Be brief.")
    here = stack(prompt, keys={hash_key(KEY): "support"})
    line = Line(here)
    for _ in range(3):
        line.ask(BODY, f"authorization: Bearer {KEY}")
        assert line.answer()[0] == "HTTP/1.1 200 OK"
    assert True in taken
    here.publish(snapshot(prompt, revision=2, keys={hash_key("another"): "support"}))
    line.ask(BODY, f"authorization: Bearer {KEY}")
    assert line.answer()[0] == "HTTP/1.1 401 Unauthorized"
    line.close()


def test_a_new_snapshot_is_served_at_once(
    stack: Callable[..., Any], release: Callable[..., Any], snapshot: Callable[..., Any], taken: list[bool]
) -> None:
    first, second = release(system="Be brief."), release(2, system="Be kind.")
    here = stack(first)
    line = Line(here)
    for _ in range(3):
        line.ask(BODY)
        assert line.answer()[1]["x-trimtab-release"] == "support-reply#1"
    here.publish(snapshot(second, revision=2))
    line.ask(BODY)
    assert line.answer()[1]["x-trimtab-release"] == "support-reply#2"
    assert taken[-1]
    line.close()


EMBEDDED = b'{"data": [{"embedding": [0.1]}], "model": "e-1", "usage": {"prompt_tokens": 7, "total_tokens": 7}}'


def test_embeddings_go_the_same_way(
    stack: Callable[..., Any], release: Callable[..., Any], upstream: Any, taken: list[bool]
) -> None:
    for _ in range(4):
        upstream.then(framed(EMBEDDED))
    here = stack(release(system="Be brief."), upstream=upstream.base_url)
    line, answers = Line(here, "/v1/embeddings"), []
    asked = {"model": "support-reply", "user": "u-1", "input": ["Where is it?"]}
    for extra, *lines in (({},), ({},), ({},), ({"stream": True},), ({}, THROUGH_ALL_LAYERS)):
        line.ask({**asked, **extra}, *lines)
        answers.append(shown(line.answer()))
    line.close()
    assert taken.count(True) >= 1
    assert not taken[-1]  # the stream, which is refused
    assert answers[2] == answers[4]
    assert answers[2][2] == EMBEDDED
    assert answers[3][0] == "HTTP/1.1 400 Bad Request"
    events = [facts(event) for event in here.generations(5)]
    assert events[2] == events[4]
    assert (events[2]["format"], events[2]["input_tokens"], events[2]["messages"]) == ("embeddings", 7, [])


def test_arms_are_drawn_and_mirrored_as_ever(
    stack: Callable[..., Any], release: Callable[..., Any], taken: list[bool]
) -> None:
    rollout = RolloutRoute(
        id="rol_1", candidate=release(2).digest, salt="s", stage=0, state="shadowing", weight=0.3, shadow=0.2
    )
    here = stack(release(system="Be brief."), release(2, system="Be kind."), rollout=rollout)
    line, arms = Line(here), {}
    for number in range(60):
        unit = f"u-{number}"
        line.ask({**BODY, "user": unit})
        arms[unit] = line.answer()[1]["x-trimtab-arm"]
    line.close()
    assert {True, False} <= set(taken)
    assert set(arms.values()) == {"stable", "candidate", "matched_control"}
    mirrored = list(arms.values()).count("matched_control")
    events = here.generations(60 + mirrored)
    assert {event.unit: event.arm for event in events if event.arm != "shadow"} == arms
    assert sum(event.arm == "shadow" for event in events) == mirrored


def warmed(here: Any) -> Line:
    line = Line(here)
    for _ in range(3):
        line.ask(BODY)
        line.answer()
    return line


def test_a_caller_that_leaves_is_recorded_and_its_upstream_let_go(
    stack: Callable[..., Any], release: Callable[..., Any], upstream: Any, taken: list[bool], eventually: Any
) -> None:
    for script in [("well",)] * 3:
        upstream.then(*script)
    upstream.then(5.0)
    here = stack(release(system="Be brief."), upstream=upstream.base_url, limits={"*": TeamLimit(concurrent=9)})
    line = warmed(here)
    line.ask(BODY)
    eventually(lambda: len(upstream.requests) == 4)
    assert taken[-1]
    line.close()
    assert here.generations(4)[-1].status == "aborted"
    assert here.gateway.application.limits.find("").spent_usd(0) == pytest.approx(0.0)
    assert here.gateway.application.limits.find("")._slots.mine().in_flight == 0


def test_a_caller_that_has_no_more_to_say_gets_its_answer(
    stack: Callable[..., Any], release: Callable[..., Any], upstream: Any, taken: list[bool], eventually: Any
) -> None:
    for script in [("well",)] * 3:
        upstream.then(*script)
    upstream.then(0.3, "well")
    here = stack(release(system="Be brief."), upstream=upstream.base_url)
    line = warmed(here)
    line.ask(BODY)
    eventually(lambda: len(upstream.requests) == 4)
    assert taken[-1]
    line.end_sending()
    status, _, _ = line.answer()
    assert status == "HTTP/1.1 100 Continue"
    status, headers, _ = line.answer()
    assert (status, headers["connection"]) == ("HTTP/1.1 200 OK", "close")
    line.close()


def test_requests_that_come_meanwhile_wait_for_their_turn(
    stack: Callable[..., Any], release: Callable[..., Any], upstream: Any, taken: list[bool]
) -> None:
    for script in [("well",)] * 3:
        upstream.then(*script)
    for number in range(3):
        upstream.then(0.1, framed(WELL.replace(b"Hi.", b"%d" % number)))
    here = stack(release(system="Be brief."), upstream=upstream.base_url)
    line = warmed(here)
    for _ in range(3):
        line.ask(BODY)
        time.sleep(0.02)
    said = [json.loads(line.answer()[2])["choices"][0]["message"]["content"] for _ in range(3)]
    assert said == ["0", "1", "2"]
    assert True in taken
    line.close()


def test_a_gateway_that_stops_answers_what_it_took(
    stack: Callable[..., Any], release: Callable[..., Any], upstream: Any, taken: list[bool], eventually: Any
) -> None:
    for script in [("well",)] * 3:
        upstream.then(*script)
    upstream.then(0.5, "well")
    here = stack(release(system="Be brief."), upstream=upstream.base_url, drain_idle_seconds=0.05)
    line = warmed(here)
    line.ask(BODY)
    eventually(lambda: len(upstream.requests) == 4)
    assert taken[-1]
    assert here.run(here.gateway.stop()) == 0
    status, headers, _ = line.answer()
    assert (status, headers["connection"]) == ("HTTP/1.1 200 OK", "close")
    line.close()
