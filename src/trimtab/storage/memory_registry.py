"""Registry and keys in memory (`releases.ports.RegistryTransaction`, `policy.ports.KeyTransaction`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from trimtab.core.errors import ConflictError
from trimtab.releases.audit import next_entry
from trimtab.releases.model import AuditEntry, Feature, Pointer, PointerMove, Release
from trimtab.storage.memory_tables import MemoryTables
from trimtab.storage.refusals import check_move, eval_conflict, key_conflict, unknown_key

if TYPE_CHECKING:
    from trimtab.artifacts.model import Artifact, ArtifactKind
    from trimtab.policy.model import ApiKey
    from trimtab.releases.eval_result import EvalResult
    from trimtab.releases.model import AuditAction

__all__ = ["MemoryRegistry"]


class MemoryRegistry(MemoryTables):
    """Artifacts, releases, pointers, results of suites, audit and keys."""

    def feature(self, name: str) -> Feature | None:
        return self.table("feature").get(name)

    def features(self) -> list[Feature]:
        return sorted(self.table("feature").values(), key=lambda feature: feature.name)

    def put_feature(self, feature: Feature) -> None:
        self.put("feature", feature.name, feature)

    def artifact(self, digest: str) -> Artifact | None:
        return next((a for a in self.table("artifact").values() if a.digest == digest), None)

    def artifact_version(self, feature: str, kind: ArtifactKind, name: str, number: int) -> Artifact | None:
        return self.table("artifact").get((feature, kind, name, number))

    def latest_artifact(self, feature: str, kind: ArtifactKind, name: str) -> Artifact | None:
        return max(self._versions(feature, kind, name), key=lambda a: a.number, default=None)

    def artifact_by_digest(self, feature: str, kind: ArtifactKind, name: str, digest: str) -> Artifact | None:
        return next((a for a in self._versions(feature, kind, name) if a.digest == digest), None)

    def artifacts(self, feature: str) -> list[Artifact]:
        return sorted(
            (a for a in self.table("artifact").values() if a.feature == feature),
            key=lambda a: (a.kind, a.name, a.number),
        )

    def add_artifact(self, artifact: Artifact) -> None:
        self.require_feature(artifact.feature)
        key = (artifact.feature, artifact.kind, artifact.name, artifact.number)
        taken = self.artifact_by_digest(artifact.feature, artifact.kind, artifact.name, artifact.digest)
        if key in self.table("artifact") or taken:
            raise ConflictError("artifact_exists", f"{artifact.name}@v{artifact.number} is stored already")
        self.put("artifact", key, artifact)

    def _versions(self, feature: str, kind: ArtifactKind, name: str) -> list[Artifact]:
        wanted = (feature, kind, name)
        return [artifact for key, artifact in self.table("artifact").items() if key[:3] == wanted]

    def release(self, digest: str) -> Release | None:
        return self.table("release").get(digest)

    def release_number(self, feature: str, number: int) -> Release | None:
        return next((r for r in self.releases(feature) if r.number == number), None)

    def latest_release(self, feature: str) -> Release | None:
        return next(iter(self.releases(feature)), None)

    def releases(self, feature: str) -> list[Release]:
        found = (r for r in self.table("release").values() if r.feature == feature)
        return sorted(found, key=lambda r: -r.number)

    def add_release(self, release: Release) -> None:
        self.require_feature(release.feature)
        if release.digest in self.table("release") or self.release_number(release.feature, release.number):
            raise ConflictError("release_exists", f"{release.feature}#{release.number} is stored already")
        self.put("release", release.digest, release)

    def pointer(self, feature: str, environment: str) -> Pointer | None:
        return self.table("pointer").get((feature, environment))

    def pointers(self, environment: str | None = None) -> list[Pointer]:
        found = (p for p in self.table("pointer").values() if environment in (None, p.environment))
        return sorted(found, key=lambda p: (p.feature, p.environment))

    def move_pointer(self, move: PointerMove) -> None:
        key = (move.feature, move.environment)
        target = self.release(move.to_release)
        known = target is not None and target.feature == move.feature
        check_move(move, self.table("pointer").get(key), release_known=known)
        self.put("pointer_move", (*key, move.revision), move)
        self.put(
            "pointer",
            key,
            Pointer(
                feature=move.feature, environment=move.environment, release=move.to_release, revision=move.revision
            ),
        )

    def pointer_moves(self, feature: str, environment: str) -> list[PointerMove]:
        moves = self.table("pointer_move").items()
        return [move for key, move in sorted(moves, key=lambda item: item[0]) if key[:2] == (feature, environment)]

    def add_eval_result(self, result: EvalResult) -> None:
        key = (result.release, result.suite, result.number)
        if key in self.table("eval_result"):
            raise eval_conflict(result)
        self.put("eval_result", key, result)

    def eval_results(self, release: str) -> list[EvalResult]:
        return [result for key, result in sorted(self.table("eval_result").items()) if key[0] == release]

    def latest_eval_result(self, release: str, suite: str) -> EvalResult | None:
        return next((one for one in reversed(self.eval_results(release)) if one.suite == suite), None)

    def append_audit(
        self, *, at_ms: int, actor: str, action: AuditAction, subject: str, detail: dict[str, Any]
    ) -> AuditEntry:
        log = self.table("audit")
        entry = next_entry(log.get(len(log)), at_ms=at_ms, actor=actor, action=action, subject=subject, detail=detail)
        self.put("audit", entry.sequence, entry)
        return entry

    def audit(self, *, after: int = 0, limit: int = 1000) -> list[AuditEntry]:
        log = self.table("audit")
        return [log[number] for number in range(after + 1, min(len(log), after + limit) + 1)]

    def add_key(self, key: ApiKey) -> None:
        if key.id in self.table("api_key"):
            raise key_conflict(key)
        self.put("api_key", key.id, key)

    def keys(self) -> list[ApiKey]:
        return sorted(self.table("api_key").values(), key=lambda key: key.id)

    def revoke_key(self, key_id: str, at_ms: int) -> None:
        key = self.table("api_key").get(key_id)
        if key is None:
            raise unknown_key(key_id)
        self.put("api_key", key_id, msgspec.structs.replace(key, revoked_at_ms=at_ms))
