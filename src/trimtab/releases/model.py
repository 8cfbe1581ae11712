"""Releases, environment pointers and the audit log, as values."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from trimtab.artifacts.model import AdapterContent, ModelApi, ModelContent, PromptContent, SchemaContent, ToolsContent

__all__ = [
    "WIRE_VERSION",
    "AuditEntry",
    "CompiledRelease",
    "Fallback",
    "Feature",
    "Manifest",
    "Pointer",
    "PointerMove",
    "Release",
    "wire_of",
]

WIRE_VERSION = "openai-chat/1"
"""Version of the translation to the provider's wire; part of every release digest, for translation is behaviour."""
_WIRES: dict[ModelApi, str] = {
    "chat": WIRE_VERSION,
    "responses": "openai-responses/1",
    "messages": "anthropic-messages/1",
}


class Feature(msgspec.Struct, frozen=True, kw_only=True):
    """One LLM capability that a team owns: the unit of ownership, policy and rollout."""

    name: str
    team: str
    description: str = ""
    capture_content: bool = True
    """Whether prompts and outputs are written to the journal."""
    created_at_ms: int = 0


def wire_of(model: ModelContent) -> str:
    """Return the wire format a model is called in, with the version of our translation to it."""
    return _WIRES[model.called_by]


class Fallback(msgspec.Struct, frozen=True, kw_only=True):
    """A model that answers where those before it in the chain cannot. Its parameters are its own."""

    model: ModelContent
    wire: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a release is made of: digests only. Its own canonical JSON is what the release digest covers."""

    feature: str
    prompt: str
    model: str
    partials: dict[str, str] = {}
    tools: str | None = None
    schema: str | None = None
    adapter: str | None = None
    wire: str = WIRE_VERSION
    fallbacks: list[str] | msgspec.UnsetType = msgspec.UNSET
    """Models, in their order. Unset where there are none: releases from before there were any keep their digests."""


class CompiledRelease(msgspec.Struct, frozen=True, kw_only=True):
    """A release with every reference replaced by its content: one fixed text, all a data plane needs to serve it."""

    digest: str
    feature: str
    number: int
    prompt: PromptContent
    """Partials are inlined."""
    model: ModelContent
    tools: ToolsContent | None = None
    schema: SchemaContent | None = None
    adapter: AdapterContent | None = None
    wire: str = WIRE_VERSION
    fallbacks: list[Fallback] = []
    """Who answers where the model cannot, in this order."""


class Release(msgspec.Struct, frozen=True, kw_only=True):
    """A stored release; `feature#number` is a friendly alias of `digest` and never moves."""

    digest: str
    feature: str
    number: int
    manifest: Manifest
    compiled: CompiledRelease
    created_at_ms: int
    created_by: str
    message: str = ""


class Pointer(msgspec.Struct, frozen=True, kw_only=True):
    """The stable release of a feature in an environment; `revision` counts its moves (compare-and-swap)."""

    feature: str
    environment: str
    release: str
    revision: int


class PointerMove(msgspec.Struct, frozen=True, kw_only=True):
    """One move of a pointer: who, when, why, from, to."""

    feature: str
    environment: str
    revision: int
    from_release: str | None
    to_release: str
    at_ms: int
    actor: str
    reason: str
    rollout: str | None = None
    """The rollout that moved it; `None` for a move by hand."""


AuditAction = Literal[
    "feature.create",
    "feature.update",
    "artifact.create",
    "release.create",
    "pointer.move",
    "plan.update",
    "holdout.set",
    "eval.record",
    "rollout.start",
    "rollout.transition",
    "migration.start",
    "migration.transition",
    "migration.override",
    "migration.acknowledge",
    "key.create",
    "key.revoke",
]


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the append-only audit log.

    `digest` is SHA-256 over the canonical JSON of all other fields, `previous` among them: entries form a hash chain,
    so a line changed, removed or slipped in later is found by walking it.
    """

    sequence: int
    at_ms: int
    actor: str
    action: AuditAction
    subject: str
    detail: dict[str, Any]
    previous: str
    digest: str
