"""Managed calls of code that does not await are answered in its own threads; but for the time, nobody can tell."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from tests.integration.sdk.short_calls import ACME, ASK, CALLS_OWN, FAILURES, hide, last, providers
from tests.integration.sdk.short_calls import LIMITS as LIMITS_OF_BOTH

import trimtab
from trimtab.artifacts.model import AdapterContent, PromptMessage
from trimtab.core.clock import FakeClock
from trimtab.core.errors import InputError, StorageError, TrimtabError, UpstreamError
from trimtab.sdk.blocking import BlockingCalls

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


LIMITS = msgspec.structs.replace(LIMITS_OF_BOTH, answer_in_thread=True)


@contextlib.contextmanager
def opened(store: Any, upstream: Any, **options: Any) -> Iterator[tuple[trimtab.Trimtab, BlockingCalls]]:
    """Calls whose way is known, for stable `gpt-a` has answered; time stands still for the circuit breaker."""
    store.publish(store.release(1, model="gpt-a"))
    with trimtab.Trimtab(store.root, clock=FakeClock(), providers=providers(upstream), **options) as tt:
        calls = BlockingCalls(lambda: tt.async_calls(limits=LIMITS))
        try:
            calls.chat("support-reply", unit="first", **ACME)
            yield tt, calls
        finally:
            calls.close()


def serve(store: Any, tt: trimtab.Trimtab, calls: BlockingCalls, model: str, **changes: Any) -> None:
    """Serve another model, to which the way is known, and whose circuit is closed."""
    store.publish(store.release(2, model=model, **changes))
    store.wait_until_serving(tt)
    decision, _ = calls._calls.understand("support-reply", unit="ada", **ACME)
    way = calls._calls.ways._ways.find(decision)
    assert way is not None
    assert way.breaker.steady(calls._calls.clock.monotonic_ns() * 1e-9)


@pytest.fixture
def without_loop(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Makes every call fail that is handed to the event loop."""

    def remove() -> None:
        def fail(_: object, work: Any) -> None:
            work.close()
            raise AssertionError("handed to the loop")

        monkeypatch.setattr(BlockingCalls, "_wait", fail)

    return remove


def test_both_ways_answer_and_record_the_same(store: Any, upstream: Any, without_loop: Callable[[], None]) -> None:
    said: dict[str, Any] = {"unit": "ada", "attributes": {"language": "de"}, "temperature": 0.5, **ACME}
    with opened(store, upstream) as (tt, calls):
        decision, caller = calls._calls.understand("support-reply", **said)
        loop = calls._wait(calls._calls.answer(decision, caller))
        without_loop()
        here = calls.chat("support-reply", **said)
        assert upstream.requests[-1] == upstream.requests[-2]
        assert upstream.headers[-1] == upstream.headers[-2]
        assert msgspec.structs.replace(here, trimtab=loop.trimtab) == loop
        assert (here.trimtab.generation, here.trimtab.unit) == (last(store, tt).id, "ada")
        events = [msgspec.structs.asdict(event) for event in store.generations(tt)[-2:]]
        assert [event["id"] for event in events] == [loop.trimtab.generation, here.trimtab.generation]
        for event in events:
            for name in CALLS_OWN:
                del event[name]
        assert events[0] == events[1]
        assert events[1]["variables"] == {"shop": "Acme"}


@FAILURES
def test_what_goes_wrong_is_recovered_raised_and_recorded_as_ever(
    store: Any, upstream: Any, model: str, code: str, attempts: int
) -> None:
    with opened(store, upstream) as (tt, calls):
        serve(store, tt, calls, model)
        decision, caller = calls._calls.understand("support-reply", unit="ada", **ACME)

        def by_loop() -> Any:
            return calls._wait(calls._calls.answer(decision, caller))

        asked = []
        for way in (by_loop, lambda: calls.chat("support-reply", unit="ada", **ACME)):
            before = len(upstream.requests)
            with pytest.raises(UpstreamError) as caught:
                way()
            event = last(store, tt)
            assert caught.value.code == event.error_code == code
            assert (event.status, event.attempts, event.unit) == ("error", attempts, "ada")
            assert event.variables == {"shop": "Acme"}
            asked.append(len(upstream.requests) - before)
        # a kept connection that closes is tried anew, as by the loop, and then once more
        assert asked[0] == asked[1] or model == "gpt-gone"
        serve(store, tt, calls, "gpt-a")
        assert calls.chat("support-reply", **ACME).text == "answer of gpt-a"


def test_failures_count_and_a_target_that_is_left_alone_is_left_alone(store: Any, upstream: Any) -> None:
    with opened(store, upstream) as (tt, calls):
        serve(store, tt, calls, "gpt-500")
        codes = set()
        for _ in range(30):
            with pytest.raises(UpstreamError) as caught:
                calls.chat("support-reply", unit="ada", **ACME)
            codes.add(caught.value.code)
        assert codes == {"overloaded", "upstream_circuit_open"}
        before = len(upstream.requests)
        with pytest.raises(UpstreamError):
            calls.chat("support-reply", unit="ada", **ACME)
        assert len(upstream.requests) == before


def test_what_the_caller_got_wrong_is_said_and_recorded_as_ever(store: Any, upstream: Any) -> None:
    wrong: list[tuple[dict[str, Any], str, bool]] = [
        ({"messages": ASK}, "missing_variable", True),
        ({**ACME, "max_tokens": 1}, "pinned_field", True),
        ({**ACME, "model": "gpt-b"}, "pinned_field", False),
        ({**ACME, "stream": True}, "invalid_type", False),
        ({**ACME, "messages": 5}, "invalid_type", False),
    ]
    with opened(store, upstream) as (tt, calls):
        calls.chat("support-reply", **ACME)
        for arguments, code, recorded in wrong:
            before = len(store.generations(tt))
            with pytest.raises(InputError) as caught:
                calls.chat("support-reply", **arguments)
            assert caught.value.code == code
            assert (len(store.generations(tt)) > before) == recorded
            assert not recorded or last(store, tt).error_code == code


def test_messages_that_can_be_read_once_are_read_once(store: Any, upstream: Any) -> None:
    with opened(store, upstream) as (_, calls):
        for _ in range(2):
            calls.chat("support-reply", variables={"shop": "Acme"}, messages=iter(ASK))
            assert upstream.requests[-1]["messages"][1:] == ASK
        upstream.requests.clear()
        calls._calls.ways._ways._ways.clear()  # by the loop
        calls.chat("support-reply", variables={"shop": "Acme"}, messages=iter(ASK))
        assert upstream.requests[-1]["messages"][1:] == ASK


def test_what_has_to_be_adapted_is_adapted(store: Any, upstream: Any, without_loop: Callable[[], None]) -> None:
    with opened(store, upstream) as (tt, calls):
        serve(store, tt, calls, "gpt-fenced", adapter=AdapterContent(output=["strip_code_fence"]))
        without_loop()
        answer = calls.chat("support-reply", **ACME)
        assert answer.text == last(store, tt).output == '{"answer":"ok"}'


def test_content_is_redacted(store: Any, upstream: Any, without_loop: Callable[[], None]) -> None:
    with opened(store, upstream, redact=hide) as (tt, calls):
        without_loop()
        assert calls.chat("support-reply", **ACME).text == "answer of gpt-a"
        assert (last(store, tt).output, last(store, tt).variables) == ("[gone]", {})


def test_a_release_that_is_rolled_back_is_served_to_nobody_by_a_way_that_was_known(store: Any, upstream: Any) -> None:
    with opened(store, upstream) as (tt, calls):
        for number, model in enumerate(["gpt-b", "gpt-a", "gpt-b"] * 3):
            serve(store, tt, calls, model) if number % 2 else None
            store.publish(store.release(number + 3, model=model))
            store.wait_until_serving(tt)
            answer = calls.chat("support-reply", unit="ada", **ACME)
            assert (answer.text, answer.trimtab.number) == (f"answer of {model}", number + 3)


def test_many_threads_each_get_their_own_answer(store: Any, upstream: Any) -> None:
    with opened(store, upstream) as (tt, calls):
        prompt = [PromptMessage(role="system", content="Hello")]
        models = {f"f{number}": f"gpt-{number}" for number in range(8)}
        store.publish_all(
            [
                store.release(number, model=model, feature=name, messages=prompt, variables={})
                for number, (name, model) in enumerate(models.items())
            ]
        )
        store.wait_until_serving(tt)
        answers: list[tuple[str, Any]] = []

        def call(name: str) -> None:
            for _ in range(20):
                answers.append((name, calls.chat(name, unit=name, messages=ASK)))  # noqa: PERF401

        threads = [threading.Thread(target=call, args=(name,)) for name in models]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(answers) == 160
        recorded = {event.id: event for event in store.generations(tt)}
        for name, answer in answers:
            assert answer.text == f"answer of {models[name]}"
            event = recorded[answer.trimtab.generation]
            assert (event.feature, event.unit, event.output) == (name, name, answer.text)


@pytest.mark.parametrize("here", [True, False])
def test_closing_meanwhile_ends_a_call_that_waits(store: Any, upstream: Any, here: bool) -> None:  # noqa: FBT001
    with opened(store, upstream) as (tt, calls):
        serve(store, tt, calls, "gpt-slow")
        if not here:
            calls._calls.ways._ways._ways.clear()  # by the loop
        raised: list[TrimtabError] = []

        def call() -> None:
            try:
                calls.chat("support-reply", unit="ada", **ACME)
            except TrimtabError as error:
                raised.append(error)

        upstream.arrived.clear()
        thread = threading.Thread(target=call)
        thread.start()
        assert upstream.arrived.wait(10)
        calls.close()
        thread.join(10)
        assert [error.code for error in raised] == [last(store, tt).error_code] == ["upstream_closed"]
        assert (last(store, tt).status, last(store, tt).unit) == ("error", "ada")
        with pytest.raises(StorageError, match="closed"):
            calls.chat("support-reply", unit="ada", **ACME)


INTERRUPTED = """
import sys, trimtab
providers = {"openai": trimtab.Endpoint(name="openai", base_url=sys.argv[2])}
said = dict(unit="ada", variables={"shop": "Acme"}, messages=[{"role": "user", "content": "hi"}])
with trimtab.Trimtab(sys.argv[1], providers=providers) as tt:
    try:
        while True:
            tt.chat("support-reply", **said)
    except KeyboardInterrupt:
        print("interrupted", flush=True)
    tt.flush()
"""


def test_an_interrupted_call_is_given_up_and_recorded(store: Any, upstream: Any) -> None:
    store.publish(store.release(1, model="gpt-a"))
    with subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, str(store.root), f"{upstream.url}/v1"], stdout=subprocess.PIPE, text=True
    ) as process:
        deadline = time.monotonic() + 20
        while len(upstream.requests) < 20:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        store.publish(store.release(2, model="gpt-slow"))
        while not upstream.bodies("gpt-slow"):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        assert process.stdout is not None
        assert process.stdout.read() == "interrupted\n"
        assert process.wait(20) == 0
    with trimtab.Trimtab(store.root) as tt:
        events = store.generations(tt)
    assert {event.status for event in events if event.release_number == 2} == {"aborted"}


def test_a_forked_child_calls_on_connections_of_its_own(store: Any, upstream: Any) -> None:
    store.publish(store.release(1, model="gpt-a"))
    with trimtab.Trimtab(store.root, providers=providers(upstream)) as tt:
        for _ in range(3):
            tt.chat("support-reply", **ACME)
        child = os.fork()
        if not child:
            good = all(tt.chat("support-reply", **ACME).text == "answer of gpt-a" for _ in range(5))
            tt.close()
            os._exit(0 if good else 1)
        for _ in range(5):
            assert tt.chat("support-reply", **ACME).text == "answer of gpt-a"
        assert os.waitpid(child, 0)[1] == 0
