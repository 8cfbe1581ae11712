"""A small world to migrate in: two features, recorded calls, and models that are functions."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from trimtab.artifacts.model import ModelContent, PromptContent, PromptMessage, SchemaContent
from trimtab.artifacts.output_steps import apply_output_adapters
from trimtab.artifacts.source import FeatureSource, NamedContent
from trimtab.core.clock import FakeClock
from trimtab.evals.answers import Answer, Ask
from trimtab.evals.datasets.files import ItemFiles
from trimtab.events import Generation
from trimtab.migration.capabilities import load_capabilities
from trimtab.migration.engine import MigrationEngine
from trimtab.migration.inventory import ModelName
from trimtab.migration.model import Migration, MigrationOptions
from trimtab.migration.traffic import JudgedAnswer, TrafficRow
from trimtab.migration.work import MigrationPorts
from trimtab.releases.pointers import PointerRequest, set_pointer
from trimtab.releases.push import push
from trimtab.storage.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from trimtab.migration.ports import PlanStore, PlanTransaction
    from trimtab.releases.model import CompiledRelease, Release

OLD, NEW = ModelName(provider="openai", model="gpt-4-0613"), ModelName(provider="openai", model="gpt-9")
FEATURES = ("billing", "support")
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"answer": {"type": "string"}},
    "required": ["answer"],
    "additionalProperties": False,
}
Model = Callable[[str, int], Answer]
"""From a question and a sample to an answer."""


class Killed(BaseException):
    """The process is gone."""


def plain(question: str, _sample: int) -> Answer:
    return Answer(output=json.dumps({"answer": f"About {question}"}), served_model="m", output_tokens=5)


def fenced(question: str, sample: int) -> Answer:
    answer = plain(question, sample)
    return msgspec.structs.replace(answer, output=f"```json\n{answer.output}\n```")


def chatty(question: str, sample: int) -> Answer:
    answer = plain(question, sample)
    return msgspec.structs.replace(answer, output=f"Sure. The answer, then the question: {question}")


def refused(_question: str, _sample: int) -> Answer:
    return Answer(error_code="upstream_error", error="unsupported_parameter: temperature")


def source(feature: str, *, model: ModelName = OLD, text: str = "Answer in JSON.", **parameters: Any) -> FeatureSource:
    prompt = PromptContent(
        messages=[
            PromptMessage(role="system", content=f"You are {feature}. {text}"),
            PromptMessage(role="user", content="{{ q }}"),
        ],
        variables={},
    )
    content = ModelContent(provider=model.provider, model=model.model, parameters=parameters)
    named = [("prompt", prompt), ("model", content), ("schema", SchemaContent(name=feature, schema=SCHEMA))]
    return FeatureSource(
        feature=feature,
        team="web",
        artifacts=[NamedContent(kind=kind, name="main", content=one, path=kind) for kind, one in named],  # type: ignore[arg-type]
    )


class World:
    """Everything a migration is wired to, on one clock."""

    def __init__(self, folder: Path, *, store: PlanStore | None = None, features: Sequence[str] = FEATURES) -> None:
        self.store: PlanStore = store or MemoryStore()
        self.clock = FakeClock()
        self.models: dict[str, Model] = {OLD.model: plain, NEW.model: plain}
        self.features = list(features)
        self.old_calls_until_ms = 1 << 60
        """Until when the old model was called."""
        self.new_calls = 100
        self.new_errors = 0
        self.judged_answers: dict[str, list[JudgedAnswer]] = {}
        self.asked: list[tuple[str, str, int]] = []
        self.answers: dict[tuple[str, str, int], Answer] = {}
        """What an answer book keeps, over crashes."""
        self.published: list[str] = []
        self.writes_left = -1
        self.asks_left = -1
        self.items = ItemFiles(folder)
        self.releases: dict[str, Release] = {}
        for feature in self.features:
            self.releases[feature] = self.push(source(feature, temperature=0.2))
            self.point(feature, self.releases[feature])
        self.engine = self.new_engine()

    def new_engine(self) -> MigrationEngine:
        """A process that has just started."""
        self.writes_left = self.asks_left = -1
        ports = MigrationPorts(
            store=_Killable(self),
            clock=self.clock,
            calls=self,
            asker=self,
            items=self.items,
            capabilities=load_capabilities(),
            context_tokens=lambda _provider, _model: None,
            publish=self.published.append,
            actor="ana",
        )
        self.engine = MigrationEngine(ports, environment="production")
        return self.engine

    def push(self, wanted: FeatureSource, *, by: str = "ana", message: str = "") -> Release:
        with self.store.write() as tx:
            return push(tx, wanted, actor=by, now_ms=self.clock.now_ms(), message=message).release

    def point(self, feature: str, release: Release) -> None:
        with self.store.write() as tx:
            request = PointerRequest(release=release, environment="production", actor="ana", reason="first")
            set_pointer(tx, request, now_ms=self.clock.now_ms())

    def start(self, **options: Any) -> Migration:
        wanted: dict[str, Any] = {"min_items": 10, "golden_items": 60, "soak_hours": 1.0, "zero_call_hours": 2.0}
        return self.engine.start(OLD, NEW, MigrationOptions(**(wanted | options)))

    # -- RecordedCalls

    def traffic(self, environment: str, provider: str, model: str, span: tuple[int, int]) -> list[TrafficRow]:
        last_ms = min(self.old_calls_until_ms, self.clock.now_ms()) if model == OLD.model else self.clock.now_ms()
        if not span[0] <= last_ms < span[1]:
            return []
        if model == OLD.model:
            return [self._row(self.releases[name].digest, name, 100, 0, last_ms) for name in self.features]
        with self.store.read() as tx:
            now = {name: tx.pointer(name, "production") for name in self.features}
        return [
            self._row(pointer.release, name, self.new_calls, self.new_errors, last_ms)
            for name, pointer in now.items()
            if pointer is not None and pointer.release != self.releases[name].digest and self.new_calls
        ]

    def _row(self, digest: str, feature: str, calls: int, errors: int, last_ms: int) -> TrafficRow:
        return TrafficRow(
            feature=feature,
            release=digest,
            release_number=1,
            served_model="m",
            arm="stable",
            team="web",
            process="gw-1",
            calls=calls,
            errors=errors,
            input_tokens=100,
            largest_input_tokens=10,
            output_tokens=100,
            cost_usd=1.0,
            last_ms=last_ms,
        )

    def calls(self, environment: str, release: str, span: tuple[int, int], *, limit: int) -> Iterator[Generation]:
        feature = next(name for name, one in self.releases.items() if one.digest == release)
        for number in range(min(limit, 80)):
            question = f"{feature} question {number % 60}"
            yield Generation(
                id=f"gen_{number}",
                at_ms=number,
                feature=feature,
                environment=environment,
                release=release,
                variables={"q": question},
                messages=[{"role": "system", "content": "s"}, {"role": "user", "content": question}],
                output=plain(question, 0).output,
                unit=f"user-{number}",
                attributes={"language": "de" if number % 3 else "en"},
            )

    def judged(self, feature: str, model: str, names: tuple[str, str], span: tuple[int, int]) -> list[JudgedAnswer]:
        return self.judged_answers.get(model, [])

    # -- Asker

    def ask(
        self, release: CompiledRelease, asks: Sequence[Ask], *, progress: Callable[[int, int], None]
    ) -> dict[tuple[str, int], Answer]:
        found = {}
        for done, one in enumerate(asks):
            key = (release.digest + release.model.model, one.key, one.sample)
            if key not in self.answers:
                if self.asks_left == 0:
                    raise Killed
                self.asks_left -= 1
                self.asked.append((release.model.model, one.key, one.sample))
                answer = self.models[release.model.model](one.variables["q"], one.sample)
                steps = release.adapter.output if release.adapter else []
                self.answers[key] = msgspec.structs.replace(answer, output=apply_output_adapters(answer.output, steps))
            found[one.key, one.sample] = self.answers[key]
            progress(done + 1, len(asks))
        return found


class _Killable:
    """The store, in a process that is killed while it commits its n-th transaction."""

    def __init__(self, world: World) -> None:
        self._world = world

    def read(self) -> contextlib.AbstractContextManager[PlanTransaction]:
        return self._world.store.read()

    @contextlib.contextmanager
    def write(self) -> Iterator[PlanTransaction]:
        with self._world.store.write() as tx:
            yield tx
            if self._world.writes_left == 0:
                raise Killed
            self._world.writes_left -= 1

    def close(self) -> None:
        self._world.store.close()
