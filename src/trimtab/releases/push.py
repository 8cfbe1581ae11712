"""Push: store what is new of a feature folder, and the release it makes. Equal content is stored once."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import msgspec

from trimtab.artifacts.model import (
    AdapterContent,
    Artifact,
    ArtifactKind,
    ModelContent,
    PartialContent,
    PromptContent,
    SchemaContent,
    ToolsContent,
    artifact_digest,
)
from trimtab.artifacts.partials import included_partials, inline_partials
from trimtab.core.canonical import canonical_digest
from trimtab.core.errors import InputError
from trimtab.core.ids import check_name
from trimtab.releases.model import CompiledRelease, Fallback, Feature, Manifest, Release, wire_of

if TYPE_CHECKING:
    from trimtab.artifacts.model import Content
    from trimtab.artifacts.source import FeatureSource, NamedContent
    from trimtab.releases.ports import RegistryTransaction

_C = TypeVar("_C", bound="Content")

__all__ = ["PushResult", "PushedArtifact", "compile_release", "push", "put_artifact"]


class PushedArtifact(msgspec.Struct, frozen=True, kw_only=True):
    """One artifact of a push: its version, and whether this push made it."""

    kind: ArtifactKind
    name: str
    number: int
    digest: str
    created: bool


class PushResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a push stored."""

    feature: str
    artifacts: list[PushedArtifact]
    release: Release
    created: bool
    """Whether the release is new."""


def push(tx: RegistryTransaction, source: FeatureSource, *, actor: str, now_ms: int, message: str = "") -> PushResult:
    """Store a feature folder; the second time it changes nothing.

    Version numbers count up per (feature, kind, name) and never move or come back: content that was pushed before
    keeps the number it got then. Raises `InputError` where the folder does not make a release.
    """
    check_name(source.feature, what="feature")
    _put_feature(tx, source, actor, now_ms)
    pushed = [put_artifact(tx, source.feature, named, actor, now_ms) for named in source.artifacts]
    manifest, compiled = compile_release(source)
    known = tx.release(compiled.digest)
    if known is not None:
        return PushResult(feature=source.feature, artifacts=pushed, release=known, created=False)
    latest = tx.latest_release(source.feature)
    number = latest.number + 1 if latest else 1
    release = Release(
        digest=compiled.digest,
        feature=source.feature,
        number=number,
        manifest=manifest,
        compiled=msgspec.structs.replace(compiled, number=number),
        created_at_ms=now_ms,
        created_by=actor,
        message=message,
    )
    tx.add_release(release)
    tx.append_audit(
        at_ms=now_ms,
        actor=actor,
        action="release.create",
        subject=f"{source.feature}#{number}",
        detail={"digest": release.digest, "message": message},
    )
    return PushResult(feature=source.feature, artifacts=pushed, release=release, created=True)


def compile_release(source: FeatureSource) -> tuple[Manifest, CompiledRelease]:
    """Return the manifest and the one fixed text of a folder's release; its number is 0, for it has none yet."""
    prompt = _only(source, "prompt", PromptContent)
    models = [named.content for named in source.artifacts if isinstance(named.content, ModelContent)]
    model, fallbacks = (models[0], models[1:]) if models else (None, [])
    if prompt is None or model is None:
        missing = "prompt" if prompt is None else "model"
        raise InputError(
            f"missing_{missing}",
            f"feature `{source.feature}` has no {missing}",
            param=source.feature,
            hint="a release needs exactly one prompt and one model",
        )
    texts = {n.name: n.content for n in source.artifacts if isinstance(n.content, PartialContent)}
    parts = {name: content.text for name, content in texts.items()}
    tools, schema = _only(source, "tools", ToolsContent), _only(source, "schema", SchemaContent)
    adapter = _only(source, "adapter", AdapterContent)
    manifest = Manifest(
        feature=source.feature,
        prompt=artifact_digest("prompt", prompt),
        model=artifact_digest("model", model),
        partials={name: artifact_digest("partial", texts[name]) for name in sorted(included_partials(prompt, parts))},
        tools=None if tools is None else artifact_digest("tools", tools),
        schema=None if schema is None else artifact_digest("schema", schema),
        adapter=None if adapter is None else artifact_digest("adapter", adapter),
        wire=wire_of(model),
        fallbacks=[artifact_digest("model", each) for each in fallbacks] or msgspec.UNSET,
    )
    compiled = CompiledRelease(
        digest=canonical_digest(manifest),
        feature=source.feature,
        number=0,
        prompt=inline_partials(prompt, parts),
        model=model,
        tools=tools,
        schema=schema,
        adapter=adapter,
        wire=manifest.wire,
        fallbacks=[Fallback(model=each, wire=wire_of(each)) for each in fallbacks],
    )
    return manifest, compiled


def _only(source: FeatureSource, kind: ArtifactKind, content_type: type[_C]) -> _C | None:
    found = [named for named in source.artifacts if named.kind == kind]
    if len(found) > 1:
        raise InputError(
            "several_artifacts",
            f"feature `{source.feature}` has {len(found)} of kind `{kind}`: {', '.join(n.name for n in found)}",
            param=found[1].path,
            hint="a release takes one; make another feature for the other",
        )
    content = found[0].content if found else None
    return content if isinstance(content, content_type) else None


def _put_feature(tx: RegistryTransaction, source: FeatureSource, actor: str, now_ms: int) -> None:
    known = tx.feature(source.feature)
    wanted = Feature(
        name=source.feature,
        team=source.team,
        description=source.description,
        capture_content=source.capture_content,
        created_at_ms=known.created_at_ms if known else now_ms,
    )
    if wanted == known:
        return
    tx.put_feature(wanted)
    tx.append_audit(
        at_ms=now_ms,
        actor=actor,
        action="feature.update" if known else "feature.create",
        subject=source.feature,
        detail={"team": wanted.team, "description": wanted.description, "capture_content": wanted.capture_content},
    )


def put_artifact(tx: RegistryTransaction, feature: str, named: NamedContent, actor: str, now_ms: int) -> PushedArtifact:
    """Store one artifact of a feature that exists, unless it is known under this name already."""
    digest = artifact_digest(named.kind, named.content)
    known = tx.artifact_by_digest(feature, named.kind, named.name, digest)
    if known is None:
        latest = tx.latest_artifact(feature, named.kind, named.name)
        artifact = Artifact(
            digest=digest,
            kind=named.kind,
            feature=feature,
            name=named.name,
            number=latest.number + 1 if latest else 1,
            content=named.content,
            created_at_ms=now_ms,
            created_by=actor,
        )
        tx.add_artifact(artifact)
        tx.append_audit(
            at_ms=now_ms,
            actor=actor,
            action="artifact.create",
            subject=f"{feature}/{named.kind}/{named.name}@v{artifact.number}",
            detail={"digest": digest},
        )
    else:
        artifact = known
    return PushedArtifact(
        kind=named.kind, name=named.name, number=artifact.number, digest=digest, created=known is None
    )
