"""The releases a migration tries: the old one with another model, and what is changed besides. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from trimtab.artifacts.model import (
    AdapterContent,
    ModelContent,
    OutputStep,
    PromptContent,
    PromptMessage,
)
from trimtab.artifacts.source import FeatureSource, NamedContent
from trimtab.core.canonical import canonical_digest
from trimtab.releases.model import CompiledRelease, Feature, Release
from trimtab.releases.push import compile_release

if TYPE_CHECKING:
    from typing import Literal

    from trimtab.artifacts.model import ArtifactKind
    from trimtab.migration.inventory import ModelName
    from trimtab.releases.ports import RegistryTransaction

__all__ = ["Parts", "Variant", "asked_directly", "calling", "compiled_variant", "parts_of", "variant_source"]


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """What a stored release was made of."""

    feature: Feature
    release: Release
    artifacts: list[NamedContent]
    """In the order in which a folder declares them: models in the order of the chain."""


class Variant(msgspec.Struct, frozen=True, kw_only=True):
    """One way to call the new model."""

    name: str
    says: str
    """What it changes besides the model."""
    model: ModelContent
    replaces: ModelContent
    """The old one, where it stands in the chain."""
    steps: list[OutputStep] = []
    """Output adapter, added to what the release has."""
    instruction: str = ""
    """Added to the prompt's instructions."""


def parts_of(tx: RegistryTransaction, release: Release) -> Parts:
    """Read what a release was made of, under the names its artifacts have."""
    manifest = release.manifest
    names = {(one.kind, one.digest): one.name for one in tx.artifacts(release.feature)}
    fallbacks = [] if manifest.fallbacks is msgspec.UNSET else manifest.fallbacks
    wanted: list[tuple[ArtifactKind, str | None]] = [
        ("prompt", manifest.prompt),
        ("model", manifest.model),
        *(("model", digest) for digest in fallbacks),
        *(("partial", digest) for digest in manifest.partials.values()),
        ("tools", manifest.tools),
        ("schema", manifest.schema),
        ("adapter", manifest.adapter),
    ]
    found = []
    for kind, digest in wanted:
        artifact = None if digest is None else tx.artifact(digest)
        if artifact is not None:
            name = names.get((kind, artifact.digest), artifact.name)
            found.append(NamedContent(kind=kind, name=name, content=artifact.content, path=f"{kind}/{name}"))
    feature = tx.feature(release.feature) or Feature(name=release.feature, team="")
    return Parts(feature=feature, release=release, artifacts=found)


def variant_source(parts: Parts, variant: Variant) -> FeatureSource:
    """Return the release with the variant's changes, as something to push."""
    artifacts = [_changed(named, variant) for named in parts.artifacts]
    if variant.steps and not any(named.kind == "adapter" for named in artifacts):
        name = parts.feature.name
        adapter = AdapterContent(output=list(variant.steps))
        artifacts.append(NamedContent(kind="adapter", name=name, content=adapter, path=f"adapter/{name}"))
    return FeatureSource(
        feature=parts.feature.name,
        team=parts.feature.team,
        description=parts.feature.description,
        capture_content=parts.feature.capture_content,
        artifacts=artifacts,
    )


def compiled_variant(parts: Parts, variant: Variant) -> CompiledRelease:
    """Return the variant's release, compiled and not stored; its number is 0."""
    return compile_release(variant_source(parts, variant))[1]


def calling(release: CompiledRelease, model: ModelName) -> ModelContent | None:
    """Return the model of a release's chain that has this name, `None` where none has."""
    chain = [release.model, *(fallback.model for fallback in release.fallbacks)]
    return next((one for one in chain if (one.provider, one.model) == (model.provider, model.model)), None)


def asked_directly(release: CompiledRelease, role: Literal["model", "fallback"], model: ModelName) -> CompiledRelease:
    """Return a release whose own model is the one that is migrated: a fallback is asked as if it were the first."""
    found = calling(release, model)
    if not release.fallbacks:
        return release
    wire = release.wire
    if role == "fallback" and found is not None:
        wire = next(one.wire for one in release.fallbacks if one.model == found)
    asked = release.model if role == "model" or found is None else found
    digest = canonical_digest(
        {"release": release.digest, "asked": msgspec.to_builtins(asked)}
    )  # its answers are not the release's
    return msgspec.structs.replace(release, digest=digest, model=asked, wire=wire, fallbacks=[])


def _changed(named: NamedContent, variant: Variant) -> NamedContent:
    content = named.content
    if isinstance(content, ModelContent) and content == variant.replaces:
        return msgspec.structs.replace(named, content=variant.model)
    if isinstance(content, AdapterContent) and variant.steps:
        steps = [*content.output, *(step for step in variant.steps if step not in content.output)]
        return msgspec.structs.replace(named, content=AdapterContent(output=steps))
    if isinstance(content, PromptContent) and variant.instruction:
        return msgspec.structs.replace(named, content=_instructed(content, variant.instruction))
    return named


def _instructed(prompt: PromptContent, instruction: str) -> PromptContent:
    messages = list(prompt.messages)
    places = [index for index, message in enumerate(messages) if message.role in {"system", "developer"}]
    if places:
        last = messages[places[-1]]
        messages[places[-1]] = msgspec.structs.replace(last, content=f"{last.content.rstrip()}\n\n{instruction}")
    else:
        messages.insert(0, PromptMessage(role="system", content=instruction))
    return msgspec.structs.replace(prompt, messages=messages)
