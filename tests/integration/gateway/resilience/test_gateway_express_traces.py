"""Who traces gets the short way too, and the same trace on both."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.integration.gateway.resilience.two_ways import BODY, THROUGH_ALL_LAYERS, TRACE, Line

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize("extra", [{}, {"stream": True}], ids=["whole", "stream"])
@pytest.mark.parametrize("script", [[], [(500,)], [(None,)], [(400,)]], ids=["well", "retried", "closed", "refused"])
def test_a_trace_goes_on_the_same_both_ways(
    play: Callable[..., dict[str, Any]], taken: list[bool], script: list[tuple[Any, ...]], extra: dict[str, Any]
) -> None:
    short = play(script, extra, f"traceparent: {TRACE}")
    assert True in taken
    taken.clear()
    through = play(script, extra, f"traceparent: {TRACE}", THROUGH_ALL_LAYERS)
    assert True not in taken
    assert through == short
    _, trace, parent, flags = TRACE.split("-")
    assert all(f"\r\ntraceparent: 00-{trace}--{flags}".encode() in head for head in short["heads"])
    assert {(event["trace"], event["parent_span"]) for event in short["events"]} == {(trace, parent)}


def test_every_request_of_a_line_may_have_a_trace_of_its_own(
    stack: Callable[..., Any], release: Callable[..., Any], taken: list[bool]
) -> None:
    here = stack(release(system="Be brief."))
    flags = ("01", "01", "00", "03", "fe")
    line = Line(here)
    traces = [f"00-{number:032x}-{number:016x}-{flag}" for number, flag in enumerate(flags, 1)]
    for trace in traces:
        line.ask(BODY, f"traceparent: {trace}")
        assert line.answer()[0] == "HTTP/1.1 200 OK"
    line.close()
    assert taken.count(True) >= 3
    events = here.generations(5)
    assert [f"00-{event.trace}-{event.parent_span}" for event in events] == [trace[:-3] for trace in traces]
    assert [event.unsampled for event in events] == [False, False, True, False, True]
