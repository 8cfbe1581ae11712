"""A data directory with a journal that a data plane wrote, and the evidence made of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from trimtab.core.clock import FakeClock
from trimtab.core.ids import new_id
from trimtab.events import Feedback, Generation, encode_event
from trimtab.events.model import subject_time_ms
from trimtab.evidence.compactor import Compactor
from trimtab.evidence.objects import LocalObjects
from trimtab.evidence.reader import EvidenceReader
from trimtab.serving.directory import DataDirectory
from trimtab.serving.journal import JournalWriter

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from trimtab.events import Event
    from trimtab.evidence.objects import Objects

FEATURE, ENVIRONMENT = "support-reply", "production"


class Place:
    """Journals on a disk, and a clock of the test's own."""

    def __init__(self, root: Path) -> None:
        self.directory = DataDirectory(root)
        self.clock = FakeClock()
        self.objects: Objects = LocalObjects(root / "evidence")
        self.writer = JournalWriter(self.directory.journals / "gateway-1")
        self.recorded: list[Event] = []

    def record(self, event: Event) -> None:
        assert self.writer.append(encode_event(event), subject_time_ms(event))
        self.recorded.append(event)

    def generation(self, **fields: Any) -> Generation:
        at_ms = fields.pop("at_ms", self.clock.now_ms())
        given: dict[str, Any] = {
            "release": "sha256:1",
            "release_number": 1,
            "status": "ok",
            "latency_ms": 100.0,
            "output": "hello",
        }
        event = Generation(
            id=new_id("gen", at_ms), at_ms=at_ms, feature=FEATURE, environment=ENVIRONMENT, **(given | fields)
        )
        self.record(event)
        return event

    def feedback(self, generation: Generation, value: float, **fields: Any) -> Feedback:
        now_ms = self.clock.now_ms()
        event = Feedback(
            id=new_id("fb", now_ms),
            at_ms=now_ms,
            feature=FEATURE,
            environment=ENVIRONMENT,
            generation=generation.id,
            name="thumbs",
            value=value,
            **fields,
        )
        self.record(event)
        return event

    def compactor(self) -> AbstractContextManager[Compactor]:
        self.writer.flush(10)
        return Compactor.open(self.objects, self.directory, self.clock)

    def compact(self) -> None:
        with self.compactor() as compactor:
            while compactor.run().more:
                pass

    def reader(self) -> EvidenceReader:
        return EvidenceReader(self.objects, self.directory.journals)

    def ids(self, kind: str = "generations") -> list[str]:
        """Ids as questions see them, files and journals together."""
        self.writer.flush(10)
        reader = self.reader()
        try:
            return sorted(reader.query(f"SELECT id FROM {kind}").column("id").to_pylist())
        finally:
            reader.close()

    def files(self) -> list[str]:
        return sorted(key for key in self.objects.keys("generations"))


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    one = Place(tmp_path)
    yield one
    one.writer.close()
