"""A feature folder, read: what `trimtab push` sends."""

from __future__ import annotations

import msgspec

from trimtab.artifacts.model import ArtifactKind, Content

__all__ = ["FeatureSource", "NamedContent"]


class NamedContent(msgspec.Struct, frozen=True, kw_only=True):
    """One artifact as a file declares it, before it has a number."""

    kind: ArtifactKind
    name: str
    content: Content
    path: str
    """Where it was read, for messages."""


class FeatureSource(msgspec.Struct, frozen=True, kw_only=True):
    """A feature folder, validated.

    `artifacts` holds at most one entry per (kind, name). The release takes exactly one prompt; of the models, the first
    is its own and the others are its fallbacks, in this order; every partial the prompt includes; and at most one
    tools, schema and adapter.
    """

    feature: str
    team: str
    description: str = ""
    capture_content: bool = True
    artifacts: list[NamedContent]
    plan: bytes | None = None
    """The text of `rollout.yaml`, where there is one."""
    plan_path: str = ""
    warnings: list[str] = []
    """What is allowed but probably not meant, one line each, with its place."""
