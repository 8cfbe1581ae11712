"""Resolving, recording and acknowledging in one process, in many threads, in children, and at its end."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

import trimtab
from trimtab.core.clock import FakeClock, SystemClock
from trimtab.core.errors import InputError, NotFoundError, StorageError
from trimtab.core.ids import id_time_ms
from trimtab.events import Exposure, Feedback, Generation, Score
from trimtab.sdk.client import Trimtab
from trimtab.sdk.resolved import Fallback
from trimtab.serving.journal_reader import salvage

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

DEFAULT = Fallback(model="gpt-default", messages=[{"role": "system", "content": "Hello {{ shop }}"}])


@pytest.fixture
def serving(store: Any) -> Any:
    """A store with a release, published before any Trimtab opens."""
    store.publish(store.release(1, model="gpt-a"))
    return store


def test_a_unit_resolves_to_a_release_with_all_its_parts(serving: Any, tt: Trimtab) -> None:
    resolved = tt.resolve("support-reply", unit="u1")
    assert (resolved.release, resolved.number, resolved.arm, resolved.unit) == ("support-reply#1", 1, "stable", "u1")
    assert (resolved.model, resolved.provider, resolved.parameters) == ("gpt-a", "openai", {"max_tokens": 50})
    assert (resolved.tools, resolved.response_format, resolved.error_code) == ([], None, "")
    prompt = [{"role": "system", "content": "You answer customers of Acme."}]
    assert resolved.messages({"shop": "Acme"}) == resolved.render(shop="Acme").messages == prompt
    tt.flush()
    (event,) = serving.events()
    assert isinstance(event, Exposure)
    assert (event.unit, event.release) == ("u1", resolved.digest)


def test_that_a_unit_met_a_release_is_on_record_once_and_anew_for_each_release(serving: Any, tt: Trimtab) -> None:
    first, second = (serving.release(number, model="gpt-a") for number in (1, 2))
    for release in (first, second):
        serving.publish(release)
        serving.wait_until_serving(tt)
        for unit in ("ada", "bob", "ada", ""):
            tt.render("support-reply", unit=unit, variables={"shop": "Acme"})
            tt.resolve("support-reply", unit=unit)
    tt.flush()
    met = [(event.release_number, event.unit) for event in serving.events() if isinstance(event, Exposure)]
    assert met == [(n, unit) for n in (1, 2) for unit in ("ada", "bob", "", "")]


def test_a_rendered_prompt_becomes_a_request_by_the_rule_of_the_gateway(serving: Any, tt: Trimtab) -> None:
    rendered = tt.render("support-reply", unit="u1", variables={"shop": "Acme"})
    ask = {"role": "user", "content": "hi"}
    assert rendered.chat_arguments(messages=[ask]) == {
        "model": "gpt-a",
        "messages": [*rendered.messages, ask],
        "max_tokens": 50,
    }
    with pytest.raises(InputError, match="pins `max_tokens`"):
        rendered.chat_arguments(max_tokens=1)


def test_a_call_of_ones_own_is_recorded_with_what_was_sent(serving: Any) -> None:
    clock = FakeClock()
    with Trimtab(serving.root, clock=clock) as tt:
        rendered = tt.render("support-reply", unit="u1", variables={"shop": "Acme"})
        clock.advance(0.25)
        usage = {"prompt_tokens": 10, "completion_tokens": 5}
        generation = tt.record(rendered, output="hi", usage=usage, served_model="gpt-a-1", finish_reason="stop")
        (event,) = serving.generations(tt)
    assert event.id == generation
    assert (event.latency_ms, event.first_token_ms) == (250.0, 250.0)
    assert (event.input_tokens, event.output_tokens, event.cost_usd) == (10, 5, pytest.approx(20e-6))
    assert (event.output, event.served_model, event.variables) == ("hi", "gpt-a-1", {"shop": "Acme"})
    assert event.messages == rendered.messages


def test_durable_feedback_is_on_disk_when_the_call_returns(serving: Any, tt: Trimtab) -> None:
    generation = tt.record(tt.resolve("support-reply", unit="u1"))
    tt.feedback(generation, "thumb", 1, comment="helpful")
    recorded = [event for event in serving.events() if isinstance(event, Feedback)]
    assert [(event.generation, event.name, event.value, event.comment) for event in recorded] == [
        (generation, "thumb", 1.0, "helpful")
    ]


def test_a_score_is_recorded_with_its_source(serving: Any, tt: Trimtab) -> None:
    generation = tt.record(tt.resolve("support-reply", unit="u1"))
    tt.score(generation, "correct", 0.5, source="human:kim", durable=True)
    (score,) = [event for event in serving.events() if isinstance(event, Score)]
    assert (score.generation, score.value, score.source) == (generation, 0.5, "human:kim")


def test_content_that_has_no_encoding_costs_the_content_not_the_record(serving: Any, tt: Trimtab) -> None:
    resolved = tt.resolve("support-reply", unit="u1")
    generation = tt.record(resolved, output="lone surrogate \ud800", tool_calls=[{"not": object()}])
    (event,) = serving.generations(tt)
    assert (event.id, event.output, event.tool_calls) == (generation, "lone surrogate ?", [])
    assert tt.health()["without_content"] == 1


def test_errors_name_what_is_missing(serving: Any, tt: Trimtab, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError) as unknown:
        tt.resolve("suport-reply", unit="u1")
    assert (unknown.value.code, unknown.value.hint) == ("unknown_feature", "did you mean `support-reply`?")
    with Trimtab(tmp_path / "empty") as empty, pytest.raises(StorageError) as unpublished:
        empty.resolve("support-reply", unit="u1")
    assert unpublished.value.code == "no_snapshot"


def test_a_default_is_served_instead_of_an_error(serving: Any, tt: Trimtab, tmp_path: Path) -> None:
    resolved = tt.resolve("no-such-feature", unit="u1", default=DEFAULT)
    assert (resolved.error_code, resolved.release, resolved.model) == ("unknown_feature", "", "gpt-default")
    assert resolved.render(shop="Acme").messages == [{"role": "system", "content": "Hello Acme"}]
    with Trimtab(tmp_path / "empty") as empty:
        assert empty.render("support-reply", variables={"shop": "A"}, default=DEFAULT).error_code == "no_snapshot"


def test_a_prompt_that_cannot_be_filled_in_is_a_failed_generation_default_or_not(serving: Any, tt: Trimtab) -> None:
    with pytest.raises(InputError, match="needs the variable `shop`"):
        tt.render("support-reply", unit="u1")
    rendered = tt.render("support-reply", unit="u1", variables={"shop": 1}, default=DEFAULT)
    assert (rendered.error_code, rendered.model) == ("invalid_variable", "gpt-default")
    assert [event.error_code for event in serving.generations(tt)] == ["missing_variable", "invalid_variable"]


def test_a_closed_trimtab_says_so_and_still_serves_defaults(serving: Any) -> None:
    tt = Trimtab(serving.root)
    tt.close()
    tt.close()
    with pytest.raises(StorageError) as closed:
        tt.resolve("support-reply", unit="u1")
    assert closed.value.code == "closed"
    assert tt.resolve("support-reply", unit="u1", default=DEFAULT).error_code == "closed"


def test_threads_share_one_trimtab_and_lose_nothing(serving: Any, tt: Trimtab) -> None:
    def work(name: str) -> None:
        for n in range(200):
            tt.record(tt.resolve("support-reply", unit=f"{name}-{n}"), output="x")

    threads = [threading.Thread(target=work, args=(str(n),)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    tt.flush()
    events = serving.events()
    assert len({event.id for event in events if isinstance(event, Generation)}) == 1600
    assert len({event.unit for event in events if isinstance(event, Exposure)}) == 1600


class SetClock(SystemClock):
    """The machine's clock, as set by whoever administers it."""

    __slots__ = ("ahead_ms",)

    def __init__(self) -> None:
        self.ahead_ms = 0

    def now_ms(self) -> int:
        return super().now_ms() + self.ahead_ms


def test_calls_carry_the_wall_clocks_time_also_after_it_was_set(serving: Any) -> None:
    clock = SetClock()
    with Trimtab(serving.root, clock=clock) as tt:
        before = clock.now_ms()
        first = tt.record(tt.resolve("support-reply", unit="u1"))
        assert before - 1 <= id_time_ms(first) <= clock.now_ms()
        for ahead_ms in (3_600_000, -3_600_000):
            clock.ahead_ms = ahead_ms
            wait_until(lambda: abs(id_time_ms(tt.record(tt.resolve("support-reply"))) - clock.now_ms()) < 1_800_000)
        tt.flush()
        assert all(event.at_ms == id_time_ms(event.id) for event in serving.events() if isinstance(event, Generation))


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


PROGRAM = """
import sys, trimtab
tt = trimtab.Trimtab(sys.argv[1])
for n in range(50):
    tt.record(tt.resolve("support-reply", unit=f"u{n}"), output="x")
"""


def test_a_process_that_ends_without_closing_has_lost_nothing(serving: Any) -> None:
    subprocess.run([sys.executable, "-c", PROGRAM, str(serving.root)], check=True, timeout=30)
    generations = [event for event in serving.events() if isinstance(event, Generation)]
    assert len(generations) == 50


def test_a_forked_child_records_into_a_journal_of_its_own(serving: Any) -> None:
    program = PROGRAM + (
        "import os\n"
        "child = os.fork()\n"
        "tt.record(tt.resolve('support-reply', unit='child' if child == 0 else 'parent'), output='after')\n"
        "tt.flush()\n"
        "os._exit(0) if child == 0 else os.waitpid(child, 0)\n"
    )
    subprocess.run([sys.executable, "-c", program, str(serving.root)], check=True, timeout=30)
    salvage(serving.directory.journals)
    after = [event for event in serving.events() if isinstance(event, Generation) and event.output == "after"]
    assert sorted(event.unit for event in after) == ["child", "parent"]
    assert len({event.process for event in after}) == 2
    assert len(list(serving.directory.journals.iterdir())) == 2


HEAVY: tuple[str, ...] = (
    "numpy",
    "sqlalchemy",
    "alembic",
    "yaml",
    "openai",
    "anthropic",
    "asyncio",
    "httpx",
    "httpx2",
    "pydantic",
)
HEAVY += ("rich", "click", "starlette", "uvicorn", "ssl", "email", "importlib.metadata", "jsonschema_rs", "http")


@pytest.mark.parametrize(
    "program",
    [
        "import trimtab",
        "import trimtab; trimtab.Trimtab(sys.argv[1])",
        "import trimtab; trimtab.Trimtab(sys.argv[1]).resolve('support-reply', unit='u')",
    ],
)
def test_importing_and_opening_loads_nothing_heavy(program: str, store: Any) -> None:
    store.publish(store.release(1, model="gpt-a", variables={}))
    script = f"import sys\nbefore = set(sys.modules)\n{program}\nprint(*sorted(set(sys.modules) - before))"
    done = subprocess.run(
        [sys.executable, "-c", script, str(store.root)], check=True, capture_output=True, text=True, timeout=30
    )
    loaded = set(done.stdout.split())
    assert "trimtab" in loaded
    assert loaded & set(HEAVY) == set()
    if program == "import trimtab":
        assert {name for name in loaded if name.partition(".")[0] == "msgspec"} == set()


def test_public_names_are_there_and_the_stub_names_the_same() -> None:
    for name in trimtab.__all__:
        assert getattr(trimtab, name) is not None
    assert trimtab.__version__.count(".") == 2
    with pytest.raises(AttributeError, match="no attribute `Trimtabs`"):
        _ = trimtab.Trimtabs  # type: ignore[attr-defined]
    stub = os.path.join(os.path.dirname(trimtab.__file__), "__init__.pyi")  # noqa: PTH118, PTH120
    with open(stub) as file:  # noqa: PTH123
        declared = file.read()
    assert all(f"import {name} as {name}" in declared for name in trimtab.__all__ if name != "__version__")


def test_only_clients_that_are_known_are_wrapped(tt: Trimtab) -> None:
    with pytest.raises(InputError, match="a `dict` cannot be wrapped"):
        tt.wrap({})
