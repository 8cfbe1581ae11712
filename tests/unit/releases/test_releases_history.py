"""Any sequence of pushes, moves and rollbacks, on every store: numbers never move, history leads to the pointer."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from trimtab.artifacts.model import ModelContent, PartialContent, PromptContent, PromptMessage
from trimtab.artifacts.source import FeatureSource, NamedContent
from trimtab.core.errors import ConflictError
from trimtab.releases.audit import chain_fault
from trimtab.releases.pointers import PointerRequest, replay_moves, rollback_pointer, set_pointer
from trimtab.releases.push import push
from trimtab.storage.memory import MemoryStore
from trimtab.storage.sqlite import open_sqlite

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trimtab.artifacts.model import ArtifactKind
    from trimtab.releases.model import Release
    from trimtab.rollout.ports import ControlStore

FEATURES = st.sampled_from(["a", "b"])
ENVIRONMENTS = st.sampled_from(["dev", "production"])
TEXTS = st.sampled_from(["one", "two", "three"])


def source(feature: str, text: str, tone: str, model: str) -> FeatureSource:
    prompt = PromptContent(messages=[PromptMessage(role="user", content='{% include "tone" %}' + text)], variables={})
    return FeatureSource(
        feature=feature,
        team="t",
        artifacts=[
            NamedContent(kind="prompt", name="main", content=prompt, path="p"),
            NamedContent(kind="partial", name="tone", content=PartialContent(text=tone), path="t"),
            NamedContent(kind="model", name="main", content=ModelContent(provider="openai", model=model), path="m"),
        ],
    )


@contextlib.contextmanager
def refusal(code: str) -> Iterator[None]:
    """Expect a conflict of this code; an empty one expects none."""
    if not code:
        yield
        return
    with pytest.raises(ConflictError) as caught:
        yield
    assert caught.value.code == code


class History(RuleBasedStateMachine):
    """Does the same to both stores and keeps its own books."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self.stores: list[ControlStore] = [MemoryStore(), open_sqlite(Path(self._folder.name) / "control.db")]
        self.numbers: dict[tuple[str, ArtifactKind, str, int], str] = {}
        """Every version ever seen -> its digest."""
        self.releases: dict[tuple[str, int], Release] = {}
        self.served: dict[tuple[str, str], list[str]] = {}
        """What each environment served, oldest first."""
        self.now_ms = 0

    def teardown(self) -> None:
        for store in self.stores:
            store.close()
        self._folder.cleanup()

    @rule(feature=FEATURES, text=TEXTS, tone=TEXTS, model=TEXTS)
    def pushes(self, feature: str, text: str, tone: str, model: str) -> None:
        self.now_ms += 1
        for store in self.stores:
            with store.write() as tx:
                result = push(tx, source(feature, text, tone, model), actor="ada", now_ms=self.now_ms)
            for artifact in result.artifacts:
                key = (feature, artifact.kind, artifact.name, artifact.number)
                assert self.numbers.setdefault(key, artifact.digest) == artifact.digest
            known = self.releases.setdefault((feature, result.release.number), result.release)
            assert known == result.release

    @rule(feature=FEATURES, text=TEXTS)
    def a_push_that_dies_before_its_commit(self, feature: str, text: str) -> None:
        for store in self.stores:
            with pytest.raises(InterruptedError), store.write() as tx:
                push(tx, source(feature, text, "lost", "lost"), actor="ada", now_ms=self.now_ms)
                raise InterruptedError

    @precondition(lambda self: self.releases)
    @rule(data=st.data(), environment=ENVIRONMENTS)
    def moves(self, data: st.DataObject, environment: str) -> None:
        release = self.releases[data.draw(st.sampled_from(sorted(self.releases)))]
        served = self.served.setdefault((release.feature, environment), [])
        refused = bool(served) and served[-1] == release.digest
        self.now_ms += 1
        for store in self.stores:
            request = PointerRequest(release=release, environment=environment, actor="ada", reason="r")
            with refusal("pointer_unchanged" if refused else ""), store.write() as tx:
                set_pointer(tx, request, now_ms=self.now_ms)
        if not refused:
            served.append(release.digest)

    @rule(feature=FEATURES, environment=ENVIRONMENTS)
    def rolls_back(self, feature: str, environment: str) -> None:
        served = self.served.setdefault((feature, environment), [])
        self.now_ms += 1
        for store in self.stores:
            with refusal("" if len(served) > 1 else "nothing_to_roll_back"), store.write() as tx:
                rollback_pointer(tx, feature, environment, actor="bob", reason="worse", now_ms=self.now_ms)
        if len(served) > 1:
            served.append(served[-2])

    @invariant()
    def history_leads_to_the_pointer(self) -> None:
        for store in self.stores:
            with store.read() as tx:
                for (feature, environment), served in self.served.items():
                    moves = tx.pointer_moves(feature, environment)
                    assert [move.to_release for move in moves] == served
                    assert replay_moves(moves) == tx.pointer(feature, environment)

    @invariant()
    def numbers_never_move_and_have_no_gaps(self) -> None:
        for store in self.stores:
            with store.read() as tx:
                for key, digest in self.numbers.items():
                    artifact = tx.artifact_version(*key)
                    assert artifact is not None
                    assert artifact.digest == digest
                for feature in ("a", "b"):
                    releases = tx.releases(feature)
                    assert [release.number for release in releases] == list(range(len(releases), 0, -1))
                    for release in releases:
                        assert self.releases[feature, release.number] == release

    @invariant()
    def both_stores_hold_the_same_and_the_log_is_whole(self) -> None:
        logs = []
        for store in self.stores:
            with store.read() as tx:
                logs.append(tx.audit())
        assert logs[0] == logs[1]
        assert chain_fault(logs[0]) == ""


TestHistory = History.TestCase
TestHistory.settings = settings(
    max_examples=20, stateful_step_count=12, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
