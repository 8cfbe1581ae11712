"""Datasets as artifacts of a feature: made once, told apart by their digests, found by their names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trimtab.artifacts.model import DatasetContent
from trimtab.artifacts.source import NamedContent
from trimtab.core.errors import InputError, NotFoundError
from trimtab.core.ids import check_name
from trimtab.releases.push import put_artifact
from trimtab.releases.reference import require_feature

if TYPE_CHECKING:
    from trimtab.artifacts.model import Artifact, ScorerContent
    from trimtab.releases.ports import RegistryTransaction
    from trimtab.releases.push import PushedArtifact

__all__ = ["datasets_of", "find_dataset", "put_dataset", "put_scorer"]


def put_dataset(
    tx: RegistryTransaction, feature: str, name: str, content: DatasetContent, *, actor: str, now_ms: int
) -> PushedArtifact:
    """Store a dataset under a name, a new version unless it is known; raises `InputError` for a bad name."""
    require_feature(tx, feature)
    check_name(name, what="dataset")
    return put_artifact(tx, feature, NamedContent(kind="dataset", name=name, content=content, path=""), actor, now_ms)


def put_scorer(
    tx: RegistryTransaction, feature: str, name: str, content: ScorerContent, *, actor: str, now_ms: int
) -> PushedArtifact:
    """Store a scorer of a suite, a new version unless it is known."""
    return put_artifact(tx, feature, NamedContent(kind="scorer", name=name, content=content, path=""), actor, now_ms)


def datasets_of(tx: RegistryTransaction, feature: str) -> list[Artifact]:
    """Return every version of a feature's datasets, by name, newest first."""
    require_feature(tx, feature)
    found = [artifact for artifact in tx.artifacts(feature) if artifact.kind == "dataset"]
    return sorted(found, key=lambda one: (one.name, -one.number))


def find_dataset(tx: RegistryTransaction, feature: str, reference: str) -> tuple[Artifact, DatasetContent]:
    """Return a dataset by `NAME` (its newest version), or `NAME@v3`; raises `NotFoundError` (`unknown_dataset`)."""
    require_feature(tx, feature)
    name, versioned, number = reference.partition("@v")
    if not versioned:
        found = tx.latest_artifact(feature, "dataset", name)
    elif number.isascii() and number.isdigit():
        found = tx.artifact_version(feature, "dataset", name, int(number))
    else:
        raise InputError(
            "malformed_reference", f"`{reference}` names no dataset", param="dataset", hint="NAME or NAME@v3"
        )
    if found is None or not isinstance(found.content, DatasetContent):
        names = sorted({one.name for one in datasets_of(tx, feature)})
        raise NotFoundError(
            "unknown_dataset",
            f"`{feature}` has no dataset `{reference}`",
            param="dataset",
            hint=f"there are: {', '.join(names)}"
            if names
            else f"make one: trimtab dataset create {feature} NAME --from FILE",
        )
    return found, found.content
