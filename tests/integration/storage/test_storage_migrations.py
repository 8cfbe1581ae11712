from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest
import sqlalchemy as sa

from trimtab.core.canonical import canonical_digest
from trimtab.core.errors import ConflictError, FencedError, IntegrityError, StorageError
from trimtab.migration.inventory import ModelName
from trimtab.migration.model import Fork, Migration, MigrationArtifact, MigrationOptions
from trimtab.storage.sqlite import open_sqlite

if TYPE_CHECKING:
    from pathlib import Path

    from trimtab.migration.ports import PlanStore

OLD, NEW = ModelName(provider="openai", model="gpt-4"), ModelName(provider="openai", model="gpt-5")


def plan(identifier: str = "mig_1", *, target: ModelName = NEW) -> Migration:
    return Migration(
        id=identifier,
        environment="production",
        source=OLD,
        target=target,
        options=MigrationOptions(parameters={"temperature": None}),
        forks=[Fork(name="f", release="sha256:1", release_number=1, prompt="sha256:2")],
        created_at_ms=1,
        created_by="ana",
        updated_at_ms=1,
    )


def artifact(text: str = "grüß") -> MigrationArtifact:
    content = {"text": text}
    return MigrationArtifact(
        digest=canonical_digest(content),
        migration="mig_1",
        fork="f",
        state="golden",
        content=content,
        created_at_ms=1,
    )


def test_a_plan_is_read_as_it_was_saved_and_the_newest_comes_first(store: PlanStore) -> None:
    with store.write() as tx:
        tx.add_migration(plan())
        tx.add_migration(plan("mig_2", target=OLD))
        tx.save_migration(msgspec.structs.replace(plan(), version=1, inventory="sha256:3"), expected_version=0)
    with store.read() as tx:
        assert [one.id for one in tx.migrations("production")] == ["mig_2", "mig_1"]
        assert tx.migrations("staging") == []
        assert tx.migration("mig_1") == msgspec.structs.replace(plan(), version=1, inventory="sha256:3")
        assert tx.migration("mig_9") is None


def test_two_models_have_one_live_migration_at_a_time(store: PlanStore) -> None:
    with store.write() as tx:
        tx.add_migration(plan())
    with store.write() as tx, pytest.raises(ConflictError) as caught:
        tx.add_migration(plan("mig_2"))
    assert caught.value.code == "migration_exists"
    with store.write() as tx:
        tx.save_migration(msgspec.structs.replace(plan(), version=1, status="abandoned"), expected_version=0)
        tx.add_migration(plan("mig_2"))


def test_who_saves_an_outdated_version_is_refused_and_nothing_is_written(store: PlanStore) -> None:
    with store.write() as tx:
        tx.add_migration(plan())
        tx.save_migration(msgspec.structs.replace(plan(), version=1), expected_version=0)
    with store.write() as tx, pytest.raises(FencedError):
        tx.save_migration(msgspec.structs.replace(plan(), version=1, status="abandoned"), expected_version=0)
    with store.read() as tx:
        stored = tx.migration("mig_1")
    assert stored is not None
    assert stored.status == "live"


def test_an_artefact_is_stored_once_however_often_it_is_written(store: PlanStore) -> None:
    with store.write() as tx:
        tx.add_migration_artifact(artifact())
        tx.add_migration_artifact(msgspec.structs.replace(artifact(), created_at_ms=2))
        tx.add_migration_artifact(artifact("other"))
    with store.read() as tx:
        assert tx.migration_artifact("mig_1", artifact().digest) == artifact()
        assert tx.migration_artifact("mig_2", artifact().digest) is None
        assert sorted(one.content["text"] for one in tx.migration_artifacts("mig_1")) == ["grüß", "other"]


def test_an_artefact_cannot_be_changed_and_a_damaged_one_is_not_handed_out(tmp_path: Path) -> None:
    store = open_sqlite(tmp_path / "control.db")
    with store.write() as tx:
        tx.add_migration_artifact(artifact())
    with pytest.raises(StorageError), store.write() as tx:
        tx.run(sa.text("UPDATE migration_artifact SET fork = 'x'"))
    with store.write() as tx:
        tx.run(sa.text("DROP TRIGGER migration_artifact_no_update"))
        changed = msgspec.json.encode(msgspec.structs.replace(artifact(), content={"text": "forged"}))
        tx.run(sa.text("UPDATE migration_artifact SET body = :body").bindparams(body=changed))
    with store.read() as tx, pytest.raises(IntegrityError):
        tx.migration_artifact("mig_1", artifact().digest)
    store.close()
