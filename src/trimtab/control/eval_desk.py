"""The control plane's use cases for evals: datasets and scorers kept, releases looked up, outcomes recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from trimtab.artifacts.model import DatasetContent
from trimtab.control.datasets import datasets_of, find_dataset, put_dataset, put_scorer
from trimtab.control.evals import awaited_suites, record_eval
from trimtab.core.errors import InputError
from trimtab.evals.datasets.files import ItemFiles
from trimtab.evals.datasets.item import Item
from trimtab.releases.reference import find_release, require_feature

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from trimtab.artifacts.model import Artifact, ScorerContent
    from trimtab.control.evals import EvalOutcome
    from trimtab.core.clock import Clock
    from trimtab.releases.eval_result import EvalResult
    from trimtab.releases.model import Release
    from trimtab.releases.push import PushedArtifact
    from trimtab.rollout.ports import ControlStore
    from trimtab.serving.directory import DataDirectory

__all__ = ["Dataset", "EvalDesk"]


class Dataset(msgspec.Struct, frozen=True, kw_only=True):
    """A stored dataset, read."""

    name: str
    """`NAME@v3`."""
    digest: str
    heldout: float
    items: list[Item]
    created_at_ms: int
    created_by: str


class EvalDesk:
    """Evals of one data directory, on behalf of one actor."""

    def __init__(self, *, store: ControlStore, directory: DataDirectory, clock: Clock, actor: str) -> None:
        self._store = store
        self._items = ItemFiles(directory.datasets)
        self.directory = directory
        self.clock = clock
        self.actor = actor

    def close(self) -> None:
        """Close the store."""
        self._store.close()

    def put_dataset(self, feature: str, name: str, items: Sequence[Item], *, heldout: float = 0.5) -> PushedArtifact:
        """Store items as a dataset; equal items under the same name are the version that they were."""
        if not items:
            raise InputError("no_items", "there is nothing to store: no item is left", param="dataset")
        if not 0.0 <= heldout <= 1.0:
            raise InputError("invalid_heldout", f"{heldout:g} is no share of the items", param="heldout")
        with self._store.read() as tx:
            require_feature(tx, feature)
        content = DatasetContent(items=self._items.put(items), count=len(items), heldout=heldout)
        with self._store.write() as tx:
            return put_dataset(tx, feature, name, content, actor=self.actor, now_ms=self.clock.now_ms())

    def datasets(self, feature: str) -> list[Artifact]:
        """Return every version of a feature's datasets, by name, newest first; without their items."""
        with self._store.read() as tx:
            return datasets_of(tx, feature)

    def datasets_with(self, items: str) -> list[Artifact]:
        """Return every version of any feature's datasets whose items have a digest."""
        with self._store.read() as tx:
            known = [one for feature in tx.features() for one in datasets_of(tx, feature.name)]
        return [one for one in known if isinstance(one.content, DatasetContent) and one.content.items == items]

    def dataset(self, feature: str, reference: str) -> Dataset:
        """Return a dataset with its items, by `NAME` or `NAME@v3`."""
        with self._store.read() as tx:
            artifact, content = find_dataset(tx, feature, reference)
        return Dataset(
            name=f"{artifact.name}@v{artifact.number}",
            digest=artifact.digest,
            heldout=content.heldout,
            items=self._items.get(content.items),
            created_at_ms=artifact.created_at_ms,
            created_by=artifact.created_by,
        )

    def put_scorers(self, feature: str, scorers: Mapping[str, ScorerContent]) -> None:
        """Store scorers by name; those that are known stay what they are."""
        with self._store.write() as tx:
            for name, content in scorers.items():
                put_scorer(tx, feature, name, content, actor=self.actor, now_ms=self.clock.now_ms())

    def release(self, feature: str, reference: str) -> Release:
        """Return one release."""
        with self._store.read() as tx:
            return find_release(tx, feature, reference)

    def own_messages(self, feature: str) -> dict[str, int]:
        """Return how many messages the prompt of each release of a feature has, by digest."""
        with self._store.read() as tx:
            require_feature(tx, feature)
            return {one.digest: len(one.compiled.prompt.messages) for one in tx.releases(feature)}

    def awaited_suites(self, feature: str) -> dict[str, list[str]]:
        """Return the suites that the feature's plan and its rollouts under way wait for, with the datasets they pin."""
        with self._store.read() as tx:
            return awaited_suites(tx, feature)

    def record(self, feature: str, reference: str, suite: str, outcome: EvalOutcome) -> EvalResult:
        """Record how a suite ended for a release; rollouts that wait for it see it at their next look."""
        with self._store.write() as tx:
            release = find_release(tx, feature, reference)
            return record_eval(tx, release, suite, outcome, actor=self.actor, now_ms=self.clock.now_ms())
