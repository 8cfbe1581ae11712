"""What every store refuses, the same in memory and in SQLite."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from trimtab.artifacts.model import Artifact, ModelContent, PromptContent, PromptMessage, artifact_digest
from trimtab.core.canonical import canonical_digest
from trimtab.core.errors import ConflictError, NotFoundError, StorageError, TrimtabError
from trimtab.policy.model import ApiKey
from trimtab.releases.model import CompiledRelease, Feature, Manifest, PointerMove, Release
from trimtab.rollout.model import Rollout
from trimtab.rollout.ports import PlanVersion

if TYPE_CHECKING:
    from collections.abc import Callable

    from trimtab.rollout.ports import ControlStore, ControlTransaction

MODEL = ModelContent(provider="openai", model="gpt-4o")
PROMPT = PromptContent(messages=[PromptMessage(role="user", content="Hi.")], variables={})
KEY = ApiKey(id="key_1", hash="0" * 64, team="t", created_at_ms=1, created_by="a")


def artifact(number: int = 1, *, model: str = "gpt-4o", feature: str = "f") -> Artifact:
    content = ModelContent(provider="openai", model=model)
    return Artifact(
        digest=artifact_digest("model", content),
        kind="model",
        feature=feature,
        name="main",
        number=number,
        content=content,
        created_at_ms=1,
        created_by="a",
    )


def release(number: int = 1, *, feature: str = "f") -> Release:
    manifest = Manifest(feature=feature, prompt=f"sha256:{number}", model=artifact_digest("model", MODEL))
    digest = canonical_digest(manifest)
    compiled = CompiledRelease(digest=digest, feature=feature, number=number, prompt=PROMPT, model=MODEL)
    return Release(
        digest=digest,
        feature=feature,
        number=number,
        manifest=manifest,
        compiled=compiled,
        created_at_ms=1,
        created_by="a",
    )


def move(to_release: str, revision: int = 1, from_release: str | None = None) -> PointerMove:
    return PointerMove(
        feature="f",
        environment="production",
        revision=revision,
        from_release=from_release,
        to_release=to_release,
        at_ms=1,
        actor="a",
        reason="r",
    )


def rollout(identifier: str = "ro_1", **changes: Any) -> Rollout:
    fields: dict[str, Any] = {
        "id": identifier,
        "feature": "f",
        "environment": "production",
        "stable": "sha256:1",
        "candidate": "sha256:2",
        "plan": b"{}",
        "salt": "s",
        "state": "validating",
        "created_at_ms": 1,
        "created_by": "a",
        "updated_at_ms": 1,
    }
    return Rollout(**(fields | changes))


def plan(feature: str) -> PlanVersion:
    return PlanVersion(digest="sha256:1", feature=feature, number=1, source=b"{}", created_at_ms=1, created_by="a")


@pytest.fixture(autouse=True)
def _stocked(store: ControlStore) -> None:
    with store.write() as tx:
        tx.put_feature(Feature(name="f", team="t"))
        tx.put_feature(Feature(name="other", team="t"))
        tx.add_artifact(artifact())
        tx.add_release(release())
        tx.add_release(release(feature="other"))
        tx.add_key(KEY)
        tx.add_rollout(rollout("ro_ended", state="promoted"))
        tx.add_rollout(rollout("ro_live"))


REFUSED: list[tuple[str, Callable[[ControlTransaction], object], type[TrimtabError], str]] = [
    ("number taken", lambda tx: tx.add_artifact(artifact(model="other")), ConflictError, "artifact_exists"),
    ("content stored twice", lambda tx: tx.add_artifact(artifact(2)), ConflictError, "artifact_exists"),
    ("release stored twice", lambda tx: tx.add_release(release()), ConflictError, "release_exists"),
    ("artifact of nothing", lambda tx: tx.add_artifact(artifact(feature="no")), NotFoundError, "unknown_feature"),
    ("release of nothing", lambda tx: tx.add_release(release(feature="no")), NotFoundError, "unknown_feature"),
    ("plan of nothing", lambda tx: tx.add_plan(plan("no")), NotFoundError, "unknown_feature"),
    ("rollout of nothing", lambda tx: tx.add_rollout(rollout(feature="no")), NotFoundError, "unknown_feature"),
    ("move to nothing", lambda tx: tx.move_pointer(move("sha256:0")), NotFoundError, "unknown_release"),
    (
        "move to another feature's release",
        lambda tx: tx.move_pointer(move(release(feature="other").digest)),
        NotFoundError,
        "unknown_release",
    ),
    ("move out of turn", lambda tx: tx.move_pointer(move(release().digest, 2)), ConflictError, "pointer_moved"),
    (
        "move from elsewhere",
        lambda tx: tx.move_pointer(move(release().digest, from_release="sha256:9")),
        ConflictError,
        "pointer_moved",
    ),
    ("key stored twice", lambda tx: tx.add_key(KEY), ConflictError, "key_exists"),
    ("unknown key", lambda tx: tx.revoke_key("key_0", 1), NotFoundError, "unknown_key"),
    ("second live rollout", lambda tx: tx.add_rollout(rollout("ro_2")), ConflictError, "rollout_active"),
    (
        "waking an ended rollout beside a live one",
        lambda tx: tx.save_rollout(rollout("ro_ended", version=1), expected_version=0),
        ConflictError,
        "rollout_active",
    ),
]


@pytest.mark.parametrize(("act", "kind", "code"), [pytest.param(*case[1:], id=case[0]) for case in REFUSED])
def test_what_contradicts_the_store_is_refused_and_changes_nothing(
    store: ControlStore, act: Callable[[ControlTransaction], object], kind: type[TrimtabError], code: str
) -> None:
    before = everything(store)
    with pytest.raises(kind) as caught, store.write() as tx:
        tx.put_feature(Feature(name="early", team="t"))
        act(tx)
    assert caught.value.code == code
    assert everything(store) == before


def everything(store: ControlStore) -> list[Any]:
    with store.read() as tx:
        return [
            tx.features(),
            [(tx.artifacts(f.name), tx.releases(f.name), tx.rollouts(f.name), tx.plan(f.name)) for f in tx.features()],
            tx.active_rollouts(),
            tx.pointers(),
            tx.pointer_moves("f", "production"),
            tx.keys(),
            tx.audit(),
        ]


def test_a_write_inside_a_write_is_refused_instead_of_hanging(store: ControlStore) -> None:
    with pytest.raises(StorageError) as caught, store.write(), store.write():
        pass
    assert caught.value.code == "nested_write"
    with store.write() as tx:
        tx.put_feature(Feature(name="after", team="t"))


def test_what_was_committed_is_seen_by_the_next_reader_and_by_its_own_transaction(store: ControlStore) -> None:
    with store.write() as tx:
        tx.put_feature(Feature(name="new", team="t"))
        assert tx.feature("new") is not None
        tx.put_feature(msgspec.structs.replace(Feature(name="new", team="t"), team="u"))
    with store.read() as tx:
        feature = tx.feature("new")
        assert feature is not None
        assert feature.team == "u"
