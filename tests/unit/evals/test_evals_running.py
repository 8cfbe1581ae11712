"""Runs: cached, resumed, bounded by money, judged."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from tests.unit.evals.runs import TRIED

from trimtab.artifacts.model import ModelContent, PromptContent
from trimtab.core.errors import ConflictError, InputError, NotFoundError, UpstreamError
from trimtab.evals.answers import Answer, AnswerBook, Ask
from trimtab.evals.budget import Budget
from trimtab.evals.datasets import Item
from trimtab.evals.results import RunFiles
from trimtab.evals.running import RunPorts, RunRequest, run_eval
from trimtab.evals.scoring import read_scorer
from trimtab.evals.suite import GateSpec, Suite
from trimtab.releases.model import CompiledRelease

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from trimtab.evals.results import EvalRun

RELEASE = CompiledRelease(
    digest="sha256:r1",
    feature="f",
    number=1,
    prompt=PromptContent(messages=[], variables={}),
    model=ModelContent(provider="openai", model="m"),
)
ITEMS = [Item(id=f"i{n}", messages=[{"role": "user", "content": f"{n}?"}], expected=str(n)) for n in range(40)]


class Model:
    """A model in this process: counts how often it is asked, and how many questions at once."""

    def __init__(self, say: Callable[[Ask], str | Exception], *, release: CompiledRelease = RELEASE) -> None:
        self.release = release
        self.say = say
        self.asked = 0
        self.at_once = 0
        self.most_at_once = 0
        self.bound: float | None = 0.02
        self.cost = 0.01

    def bound_usd(self, ask: Ask) -> float | None:
        return self.bound

    async def answer(self, ask: Ask) -> Answer:
        self.asked += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(0)
        self.at_once -= 1
        said = self.say(ask)
        if isinstance(said, Exception):
            return Answer(error_code="upstream_failed", error=str(said))
        return Answer(output=said, cost_usd=self.cost, latency_ms=5.0, output_tokens=3)


class Models:
    def __init__(self, judge: Callable[[Ask], str | Exception] | None = None) -> None:
        self.judges: dict[str, Model] = {}
        self._judge = judge
        self.embedded: list[str] = []

    def subject(self, release: CompiledRelease) -> Model:
        assert self._judge is not None
        return self.judges.setdefault(release.digest, Model(self._judge, release=release))

    async def embed(self, model: str, texts: Sequence[str]) -> list[list[float]]:
        if model.endswith("/away"):
            raise UpstreamError("upstream_failed", "it is away")
        self.embedded += texts
        return [[float(len(text)), 1.0] for text in texts]


def number(ask: Ask) -> str:
    return str(ask.messages[-1]["content"]).rstrip("?")


def tried(
    folder: Path,
    model: Model,
    scorers: Sequence[dict[str, Any]] = ({"type": "equals"},),
    *,
    items: Sequence[Item] = ITEMS,
    samples: int = 1,
    cap: float | None = None,
    models: Models | None = None,
    concurrency: int = 4,
    baseline: str = "",
) -> EvalRun:
    suite = Suite(name="s", scorers=[read_scorer(one) for one in scorers], gate=GateSpec())
    request = RunRequest(
        tried=msgspec.structs.replace(TRIED, samples=samples),
        items=items,
        suite=suite,
        scorers={metric: f"digest of {metric}" for metric in suite.metrics},
        baseline=baseline,
        now_ms=1,
    )
    ports = RunPorts(
        models=models or Models(), answers=folder / "answers", budget=Budget(cap), concurrency=concurrency,
        code_folders=[folder],
    )  # fmt: skip
    return asyncio.run(run_eval(model, request, ports))


def test_every_item_is_asked_and_judged_a_few_at_a_time(tmp_path: Path) -> None:
    model = Model(number)
    run = tried(tmp_path, model, [{"type": "equals"}, {"type": "latency"}])
    assert (model.asked, model.most_at_once, run.cached, run.stopped) == (40, 4, 0, "")
    assert run.values("equals") == {item.id: [1.0] for item in ITEMS}
    assert run.metrics["latency"].lower_is_better
    assert run.spent_usd == pytest.approx(0.40)


def test_nothing_is_asked_twice(tmp_path: Path) -> None:
    model = Model(number)
    tried(tmp_path, model)
    again = tried(tmp_path, model, [{"type": "contains", "values": ["7"]}])
    assert (model.asked, again.cached, again.spent_usd) == (40, 40, 0.0)
    more = tried(tmp_path, model, samples=3)
    assert (model.asked, more.cached, len(more.rows)) == (120, 40, 120)
    other = Model(number, release=msgspec.structs.replace(RELEASE, digest="sha256:r2"))
    assert tried(tmp_path, other).cached == 0


def test_failures_are_asked_again(tmp_path: Path) -> None:
    moody = Model(lambda ask: UpstreamError("x", "busy") if number(ask) in {"3", "5"} else number(ask))
    run = tried(tmp_path, moody)
    assert run.unanswered == 2
    assert run.values("equals")["i3"] == [0.0]
    model = Model(number)
    run = tried(tmp_path, model)
    assert (model.asked, run.unanswered) == (2, 0)


def test_a_provider_that_is_away_is_not_asked_forever(tmp_path: Path) -> None:
    model = Model(lambda _: UpstreamError("x", "away"))
    run = tried(tmp_path, model, concurrency=1)
    assert model.asked == 25
    assert "25 calls in a row failed, the last with upstream_failed: away" in run.stopped


def test_a_budget_is_never_passed_and_the_rest_is_asked_later(tmp_path: Path) -> None:
    model = Model(number)
    run = tried(tmp_path, model, cap=0.155)
    assert run.spent_usd <= 0.155
    assert 10 <= model.asked <= 15
    assert run.stopped == "the budget of $0.155 does not suffice for the next call"
    first = model.asked
    run = tried(tmp_path, model, cap=10.0)
    assert (run.cached, model.asked, run.stopped) == (first, 40, "")


@pytest.mark.parametrize("seed", range(8))
def test_the_cap_holds_whatever_calls_cost(tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    model = Model(number)
    model.bound = 0.05

    def say(ask: Ask) -> str:
        model.cost = draw.uniform(0.0, 0.05)
        return number(ask)

    model.say = say
    cap = draw.uniform(0.03, 0.8)
    assert tried(tmp_path, model, cap=cap, concurrency=draw.randint(1, 9)).spent_usd <= cap + 1e-12


def test_a_budget_needs_a_price(tmp_path: Path) -> None:
    model = Model(number)
    model.bound = None
    with pytest.raises(InputError, match="nobody knows what `openai/m` costs"):
        tried(tmp_path, model, cap=1.0)


# --- the book of answers ------------------------------------------------------------------------------------------

KILLED = """
import sys
from pathlib import Path
from trimtab.evals.answers import Answer, AnswerBook, Ask

with AnswerBook.open(Path(sys.argv[1]), "sha256:r1") as book:
    for n in range(100_000):
        book.put(Ask(f"q{n}", 0, {}, []), Answer(output=f"answer {n}" * 20))
        if n == 50:
            print("going", flush=True)
"""


def test_answers_survive_a_kill(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "going\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    with AnswerBook.open(tmp_path, "sha256:r1") as book:
        count = len(book)
        assert count > 50
        assert all(book.get(f"q{n}", 0) == Answer(output=f"answer {n}" * 20) for n in range(count))
        book.put(Ask("new", 0, {}, []), Answer(output="x"))
    assert len(AnswerBook.read(tmp_path, "sha256:r1")) == count + 1


def test_a_torn_last_line_is_cut_off(tmp_path: Path) -> None:
    with AnswerBook.open(tmp_path, "sha256:r1") as book:
        book.put(Ask("a", 0, {}, []), Answer(output="1"))
        book.put(Ask("b", 0, {}, []), Answer(output="2"))
    path = tmp_path / "r1.jsonl"
    os.truncate(path, path.stat().st_size - 3)
    with AnswerBook.open(tmp_path, "sha256:r1") as book:
        assert (len(book), book.get("b", 0)) == (1, None)
        book.put(Ask("b", 0, {}, []), Answer(output="3"))
    found = AnswerBook.read(tmp_path, "sha256:r1").get("b", 0)
    assert found is not None
    assert found.output == "3"


def test_a_releases_book_has_one_writer_and_a_judges_several(tmp_path: Path) -> None:
    with AnswerBook.open(tmp_path, "sha256:r1"):
        for shared in (False, True):
            with (
                pytest.raises(ConflictError, match="another process"),
                AnswerBook.open(tmp_path, "sha256:r1", shared=shared),
            ):
                pass
    with (
        AnswerBook.open(tmp_path, "sha256:j", shared=True) as one,
        AnswerBook.open(tmp_path, "sha256:j", shared=True) as other,
    ):
        one.put(Ask("a", 0, {}, []), Answer(output="1"))
        with (tmp_path / "j.jsonl").open("ab") as file:
            file.write(b'{"key": "torn", "sam')  # a third one was killed
        other.put(Ask("b", 0, {}, []), Answer(output="2"))
        with pytest.raises(ConflictError), AnswerBook.open(tmp_path, "sha256:j"):
            pass
    book = AnswerBook.read(tmp_path, "sha256:j")
    assert [book.get(key, 0) for key in ("a", "b", "torn")] == [Answer(output="1"), Answer(output="2"), None]


def test_answers_that_are_too_old_are_asked_again(tmp_path: Path) -> None:
    with AnswerBook.open(tmp_path, "sha256:r1") as book:
        book.put(Ask("a", 0, {}, []), Answer(output="old", at_ms=1000))
        assert book.get("a", 0, not_before_ms=1001) is None
        book.put(Ask("a", 0, {}, []), Answer(output="new", at_ms=2000))
    found = AnswerBook.read(tmp_path, "sha256:r1").get("a", 0, not_before_ms=1001)
    assert found is not None
    assert found.output == "new"


# --- judges, code, embeddings -------------------------------------------------------------------------------------


def test_judges_are_asked_once_and_kept(tmp_path: Path) -> None:
    models = Models(lambda ask: json.dumps({"reason": "r", "grade": 5 if ask.variables["answer"] == "7" else 1}))
    judge = {"type": "judge", "model": "openai/j", "rubric": "Is it 7?"}
    run = tried(tmp_path, Model(number), [judge], models=models)
    assert run.values("judge")["i7"] == [1.0]
    assert run.values("judge")["i8"] == [0.0]
    assert run.metrics["judge"].judge == "openai/j"
    (asked,) = models.judges.values()
    assert asked.asked == 40
    again = tried(tmp_path, Model(number), [judge], models=models)
    assert asked.asked == 40
    assert again.spent_usd == 0.0


def test_a_judge_is_not_asked_the_same_twice_at_once(tmp_path: Path) -> None:
    items = [Item(id=f"i{n}", messages=[{"role": "user", "content": "same?"}], group=str(n)) for n in range(9)]
    models = Models(lambda _: '{"grade": 3}')
    judge = {"type": "judge", "model": "openai/j", "rubric": "?"}
    run = tried(tmp_path, Model(number), [judge], items=items, models=models, samples=3, concurrency=9)
    assert len(run.values("judge")) == 9
    (asked,) = models.judges.values()
    assert asked.asked == 1


def test_a_judge_compares_with_the_baseline_in_both_orders(tmp_path: Path) -> None:
    baseline = msgspec.structs.replace(RELEASE, digest="sha256:r0")
    tried(tmp_path, Model(lambda ask: "old " + number(ask), release=baseline))

    def say(ask: Ask) -> str:
        mine, other = ask.variables["answer"], ask.variables["other"]
        if "3" in mine + other:
            return '{"better": "A"}'  # whatever stands first
        return json.dumps({"better": "A" if other.startswith("old") else "B"})

    pair = {"type": "judge", "model": "openai/j", "rubric": "?", "mode": "pair"}
    run = tried(tmp_path, Model(number), [pair], models=Models(say), baseline=baseline.digest)
    assert run.values("judge")["i4"] == [1.0]
    assert run.values("judge")["i3"] == [0.5]
    assert {row.item for row in run.rows if row.flips["judge"]} == {item.id for item in ITEMS if "3" in item.id}
    with pytest.raises(InputError, match="there is no baseline"):
        tried(tmp_path, Model(number), [pair], models=Models(say))


def test_a_judge_that_fails_or_cannot_be_paid_is_told(tmp_path: Path) -> None:
    judge = {"type": "judge", "model": "openai/j", "rubric": "?"}
    run = tried(tmp_path, Model(number), [judge], models=Models(lambda _: UpstreamError("x", "down")))
    assert {row.failures["judge"] for row in run.rows} == {"the judge did not answer: down"}
    model = Model(number)
    model.bound = model.cost = 0.0
    run = tried(tmp_path, model, [judge], models=Models(lambda _: '{"grade": 3}'), cap=0.1)
    assert run.stopped == "the budget does not suffice for the judge"
    assert run.spent_usd <= 0.1
    assert run.values("judge")


def test_code_embeddings_and_items_own_checks_judge_too(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text("def even(output, item, answer):\n    return int(output) % 2 == 0\n")
    items = [
        Item(
            id="a",
            messages=[{"role": "user", "content": "4?"}],
            expected="12",
            checks=[{"type": "equals", "value": "4"}],
        ),
        Item(
            id="b",
            messages=[{"role": "user", "content": "5?"}],
            checks=[{"type": "regex", "pattern": "5"}, {"type": "startsWith", "value": "6"}],
        ),
    ]
    models = Models()
    scorers: list[dict[str, Any]] = [
        {"type": "code", "function": "own:even", "binary": True},
        {"type": "embedding", "model": "openai/e"},
        {"type": "embedding", "name": "gone", "model": "openai/away"},
    ]
    run = tried(tmp_path, Model(number), scorers, items=items, models=models)
    assert run.values("code") == {"a": [1.0], "b": [0.0]}
    assert run.values("checks") == {"a": [1.0], "b": [0.0]}
    assert list(run.values("embedding")) == ["a"]
    assert sorted(models.embedded) == ["12", "4"]
    assert run.rows[0].failures == {"gone": "no embedding: it is away"}
    assert "it begins `5`" in run.rows[1].details["checks"]


# --- files --------------------------------------------------------------------------------------------------------


def test_runs_are_kept_and_found(tmp_path: Path) -> None:
    files = RunFiles(tmp_path / "runs")
    run = tried(tmp_path, Model(number), samples=2)
    files.put(run)
    stopped = msgspec.structs.replace(run, id="run_z", stopped="the budget ended")
    files.put(stopped)
    assert files.get(run.id) == run
    assert [head.id for head in files.heads("f")] == ["run_z", run.id]
    assert list(files.heads("other")) == []
    assert files.newest(TRIED) == run
    assert files.newest(msgspec.structs.replace(TRIED, samples=3)) is None
    assert files.newest(msgspec.structs.replace(TRIED, release="sha256:other")) is None
    with pytest.raises(NotFoundError, match="there is no run"):
        files.get("../secret")
