"""Registry and keys in SQL (`releases.ports.RegistryTransaction`, `policy.ports.KeyTransaction`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import sqlalchemy as sa

from trimtab.artifacts.model import Artifact, ArtifactKind, artifact_digest, decode_content
from trimtab.core.canonical import canonical_digest
from trimtab.core.errors import ConflictError, IntegrityError, NotFoundError
from trimtab.policy.model import ApiKey
from trimtab.releases.audit import next_entry
from trimtab.releases.model import AuditEntry, Feature, Pointer, PointerMove, Release
from trimtab.storage import schema as t
from trimtab.storage.memory_registry import pointer_conflict
from trimtab.storage.sql_tables import SqlTables

if TYPE_CHECKING:
    from trimtab.releases.model import AuditAction

__all__ = ["SqlRegistry"]


def _artifact(body: bytes) -> Artifact:
    """Decode an artifact and hold its content against its digest."""
    fields = msgspec.json.decode(body)
    content = decode_content(fields["kind"], fields.pop("content"))
    artifact = Artifact(content=content, **fields)
    if artifact_digest(artifact.kind, content) != artifact.digest:
        raise _damaged(f"artifact {artifact.name}@v{artifact.number}", artifact.digest)
    return artifact


def _release(body: bytes) -> Release:
    release = msgspec.json.decode(body, type=Release)
    if canonical_digest(release.manifest) != release.digest:
        raise _damaged(f"release {release.feature}#{release.number}", release.digest)
    return release


def _damaged(what: str, digest: str) -> IntegrityError:
    return IntegrityError(
        "damaged_content",
        f"{what} is not what was stored: its content does not match its digest",
        param=digest,
        hint="restore the control database from a backup",
    )


class SqlRegistry(SqlTables):
    """Artifacts, releases, pointers, audit and keys."""

    def feature(self, name: str) -> Feature | None:
        return self.one(Feature, sa.select(t.feature.c.body).where(t.feature.c.name == name))

    def features(self) -> list[Feature]:
        return self.many(Feature, sa.select(t.feature.c.body).order_by(t.feature.c.name))

    def put_feature(self, feature: Feature) -> None:
        body = msgspec.json.encode(feature)
        changed = self.run(sa.update(t.feature).where(t.feature.c.name == feature.name).values(body=body))
        if not changed:
            self.run(sa.insert(t.feature).values(name=feature.name, body=body))

    def artifact(self, digest: str) -> Artifact | None:
        return self._one_artifact(t.artifact.c.digest == digest)

    def artifact_version(self, feature: str, kind: ArtifactKind, name: str, number: int) -> Artifact | None:
        return self._one_artifact(*self._named(feature, kind, name), t.artifact.c.number == number)

    def latest_artifact(self, feature: str, kind: ArtifactKind, name: str) -> Artifact | None:
        return self._one_artifact(*self._named(feature, kind, name))

    def artifact_by_digest(self, feature: str, kind: ArtifactKind, name: str, digest: str) -> Artifact | None:
        return self._one_artifact(*self._named(feature, kind, name), t.artifact.c.digest == digest)

    def artifacts(self, feature: str) -> list[Artifact]:
        columns = t.artifact.c
        query = sa.select(columns.body).where(columns.feature == feature)
        return [_artifact(body) for body in self.bodies(query.order_by(columns.kind, columns.name, columns.number))]

    def add_artifact(self, artifact: Artifact) -> None:
        self.insert(
            t.artifact,
            ConflictError("artifact_exists", f"{artifact.name}@v{artifact.number} is stored already"),
            feature=artifact.feature,
            kind=artifact.kind,
            name=artifact.name,
            number=artifact.number,
            digest=artifact.digest,
            body=msgspec.json.encode(artifact),
        )

    @staticmethod
    def _named(feature: str, kind: ArtifactKind, name: str) -> tuple[sa.ColumnElement[bool], ...]:
        columns = t.artifact.c
        return (columns.feature == feature, columns.kind == kind, columns.name == name)

    def _one_artifact(self, *where: sa.ColumnElement[bool]) -> Artifact | None:
        query = sa.select(t.artifact.c.body).where(*where).order_by(t.artifact.c.number.desc()).limit(1)
        bodies = self.bodies(query)
        return _artifact(bodies[0]) if bodies else None

    def release(self, digest: str) -> Release | None:
        return self._one_release(t.release.c.digest == digest)

    def release_number(self, feature: str, number: int) -> Release | None:
        return self._one_release(t.release.c.feature == feature, t.release.c.number == number)

    def latest_release(self, feature: str) -> Release | None:
        return self._one_release(t.release.c.feature == feature)

    def releases(self, feature: str) -> list[Release]:
        query = sa.select(t.release.c.body).where(t.release.c.feature == feature)
        return [_release(body) for body in self.bodies(query.order_by(t.release.c.number.desc()))]

    def add_release(self, release: Release) -> None:
        self.insert(
            t.release,
            ConflictError("release_exists", f"{release.feature}#{release.number} is stored already"),
            digest=release.digest,
            feature=release.feature,
            number=release.number,
            body=msgspec.json.encode(release),
        )

    def _one_release(self, *where: sa.ColumnElement[bool]) -> Release | None:
        bodies = self.bodies(sa.select(t.release.c.body).where(*where).order_by(t.release.c.number.desc()).limit(1))
        return _release(bodies[0]) if bodies else None

    def pointer(self, feature: str, environment: str) -> Pointer | None:
        columns = t.pointer.c
        found = self._pointers(columns.feature == feature, columns.environment == environment)
        return found[0] if found else None

    def pointers(self, environment: str | None = None) -> list[Pointer]:
        return self._pointers(*([] if environment is None else [t.pointer.c.environment == environment]))

    def _pointers(self, *where: sa.ColumnElement[bool]) -> list[Pointer]:
        query = sa.select(t.pointer).where(*where).order_by(t.pointer.c.feature, t.pointer.c.environment)
        return [Pointer(**row._mapping) for row in self.rows(query)]  # noqa: SLF001 - SQLAlchemy's public name

    def move_pointer(self, move: PointerMove) -> None:
        pointer = self.pointer(move.feature, move.environment)
        revision = pointer.revision if pointer else 0
        if move.revision != revision + 1:
            raise pointer_conflict(move, revision)
        key = {"feature": move.feature, "environment": move.environment}
        values = {"release": move.to_release, "revision": move.revision}
        if pointer is None:
            self.run(sa.insert(t.pointer).values(**key, **values))
        else:
            self.run(sa.update(t.pointer).filter_by(**key).values(**values))
        self.run(sa.insert(t.pointer_move).values(**key, revision=move.revision, body=msgspec.json.encode(move)))

    def pointer_moves(self, feature: str, environment: str) -> list[PointerMove]:
        columns = t.pointer_move.c
        query = sa.select(columns.body).where(columns.feature == feature, columns.environment == environment)
        return self.many(PointerMove, query.order_by(columns.revision))

    def append_audit(
        self, *, at_ms: int, actor: str, action: AuditAction, subject: str, detail: dict[str, Any]
    ) -> AuditEntry:
        last = self.one(AuditEntry, sa.select(t.audit.c.body).order_by(t.audit.c.sequence.desc()).limit(1))
        entry = next_entry(last, at_ms=at_ms, actor=actor, action=action, subject=subject, detail=detail)
        self.run(
            sa.insert(t.audit).values(sequence=entry.sequence, digest=entry.digest, body=msgspec.json.encode(entry))
        )
        return entry

    def audit(self, *, after: int = 0, limit: int = 1000) -> list[AuditEntry]:
        columns = t.audit.c
        query = sa.select(columns.body).where(columns.sequence > after).order_by(columns.sequence).limit(limit)
        return self.many(AuditEntry, query)

    def add_key(self, key: ApiKey) -> None:
        self.run(sa.insert(t.api_key).values(id=key.id, body=msgspec.json.encode(key)))

    def keys(self) -> list[ApiKey]:
        return self.many(ApiKey, sa.select(t.api_key.c.body).order_by(t.api_key.c.id))

    def revoke_key(self, key_id: str, at_ms: int) -> None:
        key = self.one(ApiKey, sa.select(t.api_key.c.body).where(t.api_key.c.id == key_id))
        if key is None:
            raise NotFoundError("unknown_key", f"there is no key {key_id}")
        body = msgspec.json.encode(msgspec.structs.replace(key, revoked_at_ms=at_ms))
        self.run(sa.update(t.api_key).where(t.api_key.c.id == key_id).values(body=body))
