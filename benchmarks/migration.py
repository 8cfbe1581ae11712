"""`just bench migration`: CPU time of a plan over 10,000 logged calls: inventory, golden set, diff, adapting.

Calls lie in Parquet as a server leaves them; models answer from memory, at once, so that only our own work is measured.
The floor is reading the same calls with DuckDB and nothing else. Promised: inventory and diff within 60 s of CPU.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from trimtab.artifacts.model import ModelContent, PromptContent, PromptMessage, SchemaContent
from trimtab.artifacts.source import FeatureSource, NamedContent
from trimtab.core.clock import SystemClock
from trimtab.core.ids import new_id
from trimtab.evals.answers import Answer
from trimtab.evals.datasets.files import ItemFiles
from trimtab.events import Generation, encode_event
from trimtab.evidence.compactor import Compactor
from trimtab.evidence.model_use import EvidenceCalls
from trimtab.evidence.objects import open_objects
from trimtab.evidence.reader import EvidenceReader
from trimtab.migration.capabilities import load_capabilities
from trimtab.migration.engine import MigrationEngine
from trimtab.migration.events import Acknowledged, Approved
from trimtab.migration.inventory import ModelName
from trimtab.migration.model import MigrationOptions
from trimtab.migration.work import MigrationPorts
from trimtab.releases.pointers import PointerRequest, set_pointer
from trimtab.releases.push import push
from trimtab.serving.directory import DataDirectory
from trimtab.serving.journal import JournalWriter
from trimtab.storage.sqlite import open_sqlite

if TYPE_CHECKING:
    from collections.abc import Iterator

OLD, NEW = ModelName(provider="openai", model="gpt-4o-2024-08-06"), ModelName(provider="openai", model="gpt-9")
PROMISED_SECONDS = 60.0
WORDS = (
    "order",
    "parcel",
    "late",
    "refund",
    "address",
    "carrier",
    "invoice",
    "Tuesday",
    "week",
    "please",
    "sorry",
    "label",
)


def main() -> None:
    parser = argparse.ArgumentParser(prog="just bench migration", description=__doc__)
    parser.add_argument("--calls", type=int, default=10_000, help="logged calls (10,000)")
    said = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        spent = measure(Path(folder), said.calls)
    for name, seconds in spent.items():
        print(f"{name:<44} {seconds:8.2f} s CPU  {1e6 * seconds / said.calls:8.0f} µs a call")
    total = spent["inventory"] + spent["diff"]
    print(f"{'inventory and diff, promised within 60 s':<44} {total:8.2f} s CPU")
    if said.calls >= 10_000 and total > PROMISED_SECONDS:
        sys.exit("slower than promised")


def measure(root: Path, calls: int) -> dict[str, float]:
    """Return CPU seconds by what they were spent on."""
    directory, clock = DataDirectory(root), SystemClock()
    root.mkdir(exist_ok=True)
    store = open_sqlite(directory.database)
    release = _release(store, clock)
    _log(directory, clock, release, calls)
    reader = EvidenceReader(open_objects(str(root / "evidence")), directory.journals)
    asker = _Asker()
    ports = MigrationPorts(
        store=store,
        clock=clock,
        calls=EvidenceCalls(reader),
        asker=asker,
        items=ItemFiles(directory.datasets),
        capabilities=load_capabilities(),
        context_tokens=lambda _provider, _model: None,
        publish=lambda _environment: None,
        actor="bench",
    )
    engine = MigrationEngine(ports, environment="production")
    spent: dict[str, float] = {}

    @contextmanager
    def timed(name: str) -> Iterator[None]:
        began = time.process_time()
        yield
        spent[name] = spent.get(name, 0.0) + time.process_time() - began - asker.take()

    with timed("floor: reading the calls with DuckDB"):
        reader.query("SELECT * FROM generations").to_pylist()
    options = MigrationOptions(golden_items=calls, approve_before=["adapt", "shadow"])
    plan = engine.start(OLD, NEW, options)
    with timed("inventory"):
        plan = engine.look(plan.id)
    with timed("golden set, asked twice"):
        plan = engine.run(plan.id)
    plan = engine.apply(plan.id, Acknowledged(fork="support", findings=[], actor="bench", reason="bench"))
    with timed("diff"):
        plan = engine.run(plan.id)
    plan = engine.apply(plan.id, Approved(fork="support", actor="bench", reason="bench"))
    with timed("adapt: four variants on the train split"):
        plan = engine.run(plan.id)
    fork = plan.forks[0]
    if fork.state != "shadow":
        sys.exit(f"stands at {fork.state}: {fork.reasons}")
    reader.close()
    store.close()
    return spent


class _Asker:
    """Answers at once: the old model in plain JSON, the new one in a code fence. What that takes is not counted."""

    def __init__(self) -> None:
        self._spent = 0.0

    def take(self) -> float:
        """Return the CPU seconds spent here since the last time."""
        spent, self._spent = self._spent, 0.0
        return spent

    def ask(self, release, asks, *, progress):
        began = time.process_time()
        fenced = release.model.model == NEW.model
        found = {(one.key, one.sample): Answer(output=_answer(one.variables["q"], fenced=fenced)) for one in asks}
        self._spent += time.process_time() - began
        progress(len(asks), len(asks))
        return found


def _answer(question: str, *, fenced: bool) -> str:
    drawn = random.Random(question)
    text = " ".join(drawn.choices(WORDS, k=60))
    body = json.dumps({"answer": f"{question}: {text}.", "order_id": question[-6:], "steps": drawn.choices(WORDS, k=4)})
    return f"```json\n{body}\n```" if fenced else body


def _release(store, clock):
    schema = {
        "type": "object",
        "properties": {"answer": {"type": "string"}, "order_id": {"type": "string"}, "steps": {"type": "array"}},
        "required": ["answer", "order_id"],
    }
    prompt = PromptContent(
        messages=[
            PromptMessage(role="system", content="Answer in JSON."),
            PromptMessage(role="user", content="{{ q }}"),
        ],
        variables={},
    )
    model = ModelContent(provider=OLD.provider, model=OLD.model, parameters={"temperature": 0})
    parts = {"prompt": prompt, "model": model, "schema": SchemaContent(name="support", schema=schema)}
    source = FeatureSource(
        feature="support",
        team="web",
        artifacts=[NamedContent(kind=kind, name="main", content=one, path=kind) for kind, one in parts.items()],
    )
    with store.write() as tx:
        release = push(tx, source, actor="bench", now_ms=clock.now_ms()).release
        request = PointerRequest(release=release, environment="production", actor="bench", reason="bench")
        set_pointer(tx, request, now_ms=clock.now_ms())
    return release


def _log(directory, clock, release, calls: int) -> None:
    """Write the calls as a gateway does, and move them into files."""
    writer = JournalWriter(directory.journals / "gw-1")
    now_ms = clock.now_ms()
    for number in range(calls):
        at_ms = now_ms - (calls - number) * 1_000
        question = f"Where is order A-{number:06d}?"
        call = Generation(
            id=new_id("gen", at_ms),
            at_ms=at_ms,
            feature="support",
            environment="production",
            release=release.digest,
            release_number=1,
            process="gw-1",
            team=f"team-{number % 5}",
            unit=f"user-{number % 3_000}",
            provider=OLD.provider,
            requested_model=OLD.model,
            served_model=OLD.model,
            input_tokens=200,
            output_tokens=120,
            cost_usd=0.001,
            variables={"q": question},
            messages=[{"role": "system", "content": "Answer in JSON."}, {"role": "user", "content": question}],
            output=_answer(question, fenced=False),
            attributes={"language": ("de", "en", "fr")[number % 3]},
        )
        writer.append(encode_event(call), at_ms)
    writer.close()
    with Compactor.open(open_objects(str(directory.root / "evidence")), directory, clock) as compactor:
        while compactor.run().more:
            pass


if __name__ == "__main__":
    main()
