"""Releases, environment pointers and the audit log, as values."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from trimtab.artifacts.model import AdapterContent, ModelContent, PromptContent, SchemaContent, ToolsContent

__all__ = ["WIRE_VERSION", "AuditEntry", "CompiledRelease", "Feature", "Manifest", "Pointer", "PointerMove", "Release"]

WIRE_VERSION = "openai-chat/1"
"""Version of the translation to the provider's wire; part of every release digest, for translation is behaviour."""


class Feature(msgspec.Struct, frozen=True, kw_only=True):
    """One LLM capability that a team owns: the unit of ownership, policy and rollout."""

    name: str
    team: str
    description: str = ""
    capture_content: bool = True
    """Whether prompts and outputs are written to the journal."""
    created_at_ms: int = 0


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
    "rollout.start",
    "rollout.transition",
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
