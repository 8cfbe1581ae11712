"""Registry and keys in SQL (`releases.ports.RegistryTransaction`, `policy.ports.KeyTransaction`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import sqlalchemy as sa

from trimtab.core.canonical import canonical_json
from trimtab.core.errors import ConflictError
from trimtab.core.ids import digest_of
from trimtab.policy.model import ApiKey
from trimtab.releases.audit import next_entry
from trimtab.releases.model import Feature, Pointer, PointerMove
from trimtab.storage import schema as t
from trimtab.storage.refusals import check_move, key_conflict, unknown_key
from trimtab.storage.sql_content import read_artifact, read_entry, read_release
from trimtab.storage.sql_tables import SqlTables

if TYPE_CHECKING:
    from trimtab.artifacts.model import Artifact, ArtifactKind
    from trimtab.releases.model import AuditAction, AuditEntry, Release

__all__ = ["SqlRegistry"]


class SqlRegistry(SqlTables):
    """Artifacts, releases, pointers, audit and keys."""

    def feature(self, name: str) -> Feature | None:
        return self.one(Feature, sa.select(t.feature.c.body).where(t.feature.c.name == name))

    def features(self) -> list[Feature]:
        return self.many(Feature, sa.select(t.feature.c.body).order_by(*self.in_order(t.feature.c.name)))

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
        query = sa.select(columns.digest, columns.body).where(columns.feature == feature)
        return [
            read_artifact(row.digest, row.body)
            for row in self.rows(query.order_by(*self.in_order(columns.kind, columns.name, columns.number)))
        ]

    def add_artifact(self, artifact: Artifact) -> None:
        self.require_feature(artifact.feature)
        self.insert(
            t.artifact,
            ConflictError("artifact_exists", f"{artifact.name}@v{artifact.number} is stored already"),
            feature=artifact.feature,
            kind=artifact.kind,
            name=artifact.name,
            number=artifact.number,
            digest=artifact.digest,
            body=canonical_json(artifact),
        )

    @staticmethod
    def _named(feature: str, kind: ArtifactKind, name: str) -> tuple[sa.ColumnElement[bool], ...]:
        columns = t.artifact.c
        return (columns.feature == feature, columns.kind == kind, columns.name == name)

    def _one_artifact(self, *where: sa.ColumnElement[bool]) -> Artifact | None:
        columns = t.artifact.c
        query = sa.select(columns.digest, columns.body).where(*where).order_by(columns.number.desc()).limit(1)
        return next((read_artifact(row.digest, row.body) for row in self.rows(query)), None)

    def release(self, digest: str) -> Release | None:
        return self._one_release(t.release.c.digest == digest)

    def release_number(self, feature: str, number: int) -> Release | None:
        return self._one_release(t.release.c.feature == feature, t.release.c.number == number)

    def latest_release(self, feature: str) -> Release | None:
        return self._one_release(t.release.c.feature == feature)

    def releases(self, feature: str) -> list[Release]:
        columns = t.release.c
        query = sa.select(columns.digest, columns.body, columns.body_digest).where(columns.feature == feature)
        return [
            read_release(row.digest, row.body, row.body_digest)
            for row in self.rows(query.order_by(columns.number.desc()))
        ]

    def add_release(self, release: Release) -> None:
        self.require_feature(release.feature)
        body = canonical_json(release)
        self.insert(
            t.release,
            ConflictError("release_exists", f"{release.feature}#{release.number} is stored already"),
            digest=release.digest,
            feature=release.feature,
            number=release.number,
            body=body,
            body_digest=digest_of(body),
        )

    def _one_release(self, *where: sa.ColumnElement[bool]) -> Release | None:
        columns = t.release.c
        query = sa.select(columns.digest, columns.body, columns.body_digest).where(*where)
        rows = self.rows(query.order_by(columns.number.desc()).limit(1))
        return next((read_release(row.digest, row.body, row.body_digest) for row in rows), None)

    def pointer(self, feature: str, environment: str) -> Pointer | None:
        columns = t.pointer.c
        found = self._pointers(columns.feature == feature, columns.environment == environment)
        return found[0] if found else None

    def pointers(self, environment: str | None = None) -> list[Pointer]:
        return self._pointers(*([] if environment is None else [t.pointer.c.environment == environment]))

    def _pointers(self, *where: sa.ColumnElement[bool]) -> list[Pointer]:
        query = (
            sa.select(t.pointer).where(*where).order_by(*self.in_order(t.pointer.c.feature, t.pointer.c.environment))
        )
        return [Pointer(**row._mapping) for row in self.rows(query)]  # noqa: SLF001 - SQLAlchemy's public name

    def move_pointer(self, move: PointerMove) -> None:
        pointer = self.pointer(move.feature, move.environment)
        columns = t.release.c
        stored = sa.select(columns.digest).where(columns.digest == move.to_release, columns.feature == move.feature)
        check_move(move, pointer, release_known=bool(self.rows(stored)))
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
        columns = t.audit.c
        newest = sa.select(columns.sequence, columns.body).order_by(columns.sequence.desc()).limit(1)
        last = next((read_entry(row.sequence, row.body) for row in self.rows(newest)), None)
        entry = next_entry(last, at_ms=at_ms, actor=actor, action=action, subject=subject, detail=detail)
        self.run(sa.insert(t.audit).values(sequence=entry.sequence, digest=entry.digest, body=canonical_json(entry)))
        return entry

    def audit(self, *, after: int = 0, limit: int = 1000) -> list[AuditEntry]:
        columns = t.audit.c
        query = sa.select(columns.sequence, columns.body).where(columns.sequence > after)
        return [read_entry(row.sequence, row.body) for row in self.rows(query.order_by(columns.sequence).limit(limit))]

    def add_key(self, key: ApiKey) -> None:
        self.insert(t.api_key, key_conflict(key), id=key.id, body=msgspec.json.encode(key))

    def keys(self) -> list[ApiKey]:
        return self.many(ApiKey, sa.select(t.api_key.c.body).order_by(t.api_key.c.id))

    def revoke_key(self, key_id: str, at_ms: int) -> None:
        key = self.one(ApiKey, sa.select(t.api_key.c.body).where(t.api_key.c.id == key_id))
        if key is None:
            raise unknown_key(key_id)
        body = msgspec.json.encode(msgspec.structs.replace(key, revoked_at_ms=at_ms))
        self.run(sa.update(t.api_key).where(t.api_key.c.id == key_id).values(body=body))
