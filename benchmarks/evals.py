"""`just bench evals`: CPU time of a run over HTTP beside its floor, of running again, comparing, shaping; and levels.

The floor of a run is fetching the same answers over the same connections and nothing else: no prompt rendered, nothing
read, kept or judged. Only this process's CPU counts; the upstream is another. `--levels N` gates N times releases that
lose exactly the margin: how often the gate passes wrongly, at alpha 5 %.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from trimtab.artifacts.model import ModelContent, PromptContent, PromptMessage
from trimtab.evals.budget import Budget
from trimtab.evals.comparison import compare
from trimtab.evals.datasets import Item, Shape, shape
from trimtab.evals.gate import judge_gate
from trimtab.evals.results import EvalRun, MetricInfo, Row, Tried
from trimtab.evals.running import RunPorts, RunRequest, run_eval
from trimtab.evals.scoring import read_scorer
from trimtab.evals.suite import GateSpec, Rule, Suite
from trimtab.evaluation.models import CalledModels
from trimtab.providers.endpoint import Endpoint
from trimtab.providers.http import UpstreamClient, fetch
from trimtab.releases.model import CompiledRelease
from trimtab.serving.snapshot import Price

if TYPE_CHECKING:
    from collections.abc import Iterator

CONCURRENCY = 32
TRIED = Tried(
    feature="f", release="sha256:1", label="f#1", model="openai/m", dataset="d@v1", dataset_digest="sha256:d",
    split="all", suite="s", suite_digest="sha256:s", samples=1,
)  # fmt: skip
RELEASE = CompiledRelease(
    digest="sha256:bench",
    feature="f",
    number=1,
    prompt=PromptContent(messages=[PromptMessage(role="system", content="Help {{ who }}.")], variables={}),
    model=ModelContent(provider="openai", model="gpt-4o-mini"),
)
SIM = "rules: [{answer: 'It is on its way.', latency: {medianMs: 0, p95Ms: 0}}]\n"


def main() -> None:
    parser = argparse.ArgumentParser(prog="just bench evals", description=__doc__)
    parser.add_argument("--items", type=int, default=3_000, help="answers over HTTP (3,000)")
    parser.add_argument("--levels", type=int, default=0, help="gates at the margin, of each kind of data (0)")
    said = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, upstream(Path(folder)) as url:
        costs(Path(folder), url, said.items)
    for name, groups, per, samples in (
        ("200 items", 200, 1, 1),
        ("200 items, 3 answers each", 200, 1, 3),
        ("40 groups of 5", 40, 5, 1),
        ("20 groups of 10", 20, 10, 1),
    ):
        if said.levels:
            share = level(random.Random(1), said.levels, groups=groups, per=per, samples=samples)
            print(f"passes at the margin, {name:<28} {100 * share:5.1f} %  (alpha 5 %)")


@contextmanager
def upstream(folder: Path) -> Iterator[str]:
    (folder / "sim.yaml").write_text(SIM)
    command = [sys.executable, "-m", "trimtab", "sim", "--port", "0", "--behaviour", str(folder / "sim.yaml")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        yield process.stderr.readline().split()[-1]
        process.terminate()


def costs(folder: Path, url: str, count: int) -> None:
    items = [
        Item(
            id=str(n),
            variables={"who": "Ada"},
            messages=[{"role": "user", "content": f"Where is order A-{n}?"}],
            expected="It is on its way.",
            slices={"lang": str(n % 5), "kind": str(n % 11)},
        )
        for n in range(count)
    ]
    told("floor: fetching alone", count, *timed(lambda: asyncio.run(floor(url, items))))
    run, spent = timed(lambda: asyncio.run(tried(folder, url, items)))
    told("run: asked, kept, judged by three scorers", count, run, spent)
    again, spent = timed(lambda: asyncio.run(tried(folder, url, items)))
    told("run again: nothing asked", count, again, spent)
    told("compare: three metrics, sixteen slices", count, *timed(lambda: compare(run, again)))
    told("shape: near repetitions left out", count, *timed(lambda: shape(items, Shape(near=0.9))))


async def floor(url: str, items: list[Item]) -> None:
    client = UpstreamClient(url, name="floor")
    queue = list(items)

    async def work() -> None:
        while queue:
            item = queue.pop()
            messages = [{"role": "system", "content": "Help Ada."}, *item.messages]
            body = json.dumps({"model": "gpt-4o-mini", "messages": messages}).encode()
            await fetch(client, b"POST", b"/chat/completions", body=body)

    await asyncio.gather(*(work() for _ in range(CONCURRENCY)))
    await client.close()


async def tried(folder: Path, url: str, items: list[Item]) -> EvalRun:
    scorers = [read_scorer(one) for one in ({"type": "equals"}, {"type": "json"}, {"type": "similarity"})]
    suite = Suite(name="s", scorers=scorers, gate=GateSpec())
    request = RunRequest(tried=TRIED, items=items, suite=suite, scorers={}, now_ms=1)
    price = Price(input_usd=1.0, output_usd=2.0)
    async with CalledModels({"openai": Endpoint(name="openai", base_url=url)}, prices=lambda _: price) as models:
        ports = RunPorts(models=models, answers=folder / "answers", budget=Budget(100.0), concurrency=CONCURRENCY)
        return await run_eval(models.subject(RELEASE), request, ports)


def timed(work) -> tuple[object, float]:
    began = time.process_time()
    found = work()
    return found, time.process_time() - began


def told(name: str, count: int, _: object, spent: float) -> None:
    print(f"{name:<44} {spent:8.2f} s CPU  {1e6 * spent / count:8.0f} µs an item")


def level(draw: random.Random, gates: int, *, groups: int, per: int, samples: int) -> float:
    """Return the share of gates that pass although the candidate loses exactly five points.

    In groups, one in five loses a quarter and the others nothing; alone, every item loses the same.
    """
    gate = GateSpec(rules=[Rule(metric="ok", non_inferior=5)])
    passed = 0
    for _ in range(gates):
        hit = [0.05] * groups if per == 1 else [0.25 * (draw.random() < 0.2) for _ in range(groups)]
        runs = []
        for loss in (False, True):
            rows = [
                Row(
                    item=str(n),
                    sample=sample,
                    group=str(n // per) if per > 1 else "",
                    scores={"ok": float(draw.random() < 0.9 - loss * hit[n // per])},
                )
                for sample in range(samples)
                for n in range(groups * per)
            ]
            metrics = {"ok": MetricInfo(scorer="s", kind="binary")}
            runs.append(EvalRun(id="r", at_ms=1, tried=TRIED, metrics=metrics, spent_usd=0.0, cached=0, rows=rows))
        passed += judge_gate(gate, runs[1], baseline=runs[0]).passed
    return passed / gates


if __name__ == "__main__":
    main()
