"""The feature that the SDK's benchmarks serve: a templated prompt, in the middle of a rollout."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trimtab.artifacts.model import ModelContent, PromptContent, PromptMessage
from trimtab.core.canonical import canonical_digest
from trimtab.releases.model import CompiledRelease
from trimtab.serving.directory import DataDirectory
from trimtab.serving.snapshot import RolloutRoute, Route, Snapshot
from trimtab.serving.snapshot_file import publish

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["MODEL", "TEMPLATE", "VARIABLES", "published"]

TEMPLATE = "You answer customers of {{ shop }}. Be {{ tone }}. Reply with one JSON object and nothing else."
VARIABLES = {"shop": "Acme", "tone": "kind"}
MODEL = "gpt-4o-mini"


def published(folder: Path) -> None:
    """Publish a snapshot with the feature in `folder`."""
    stable, candidate = _release(1), _release(2)
    rollout = RolloutRoute(
        id="rol_1", candidate=candidate.digest, salt="s", stage=1, state="progressing", weight=0.1, control_weight=0.1
    )
    snapshot = Snapshot(
        revision=1,
        environment="production",
        published_at_ms=1,
        routes=[Route(feature="support-reply", stable=stable.digest, rollout=rollout)],
        releases={release.digest: release for release in (stable, candidate)},
    )
    publish(DataDirectory(folder).snapshot("production"), snapshot)


def _release(number: int) -> CompiledRelease:
    names = {name: {"type": "string"} for name in VARIABLES}
    return CompiledRelease(
        digest=canonical_digest(number),
        feature="support-reply",
        number=number,
        prompt=PromptContent(
            messages=[PromptMessage(role="system", content=TEMPLATE)],
            variables={"type": "object", "properties": names, "required": list(names), "additionalProperties": False},
        ),
        model=ModelContent(provider="openai", model=MODEL, parameters={"temperature": 0.2}),
    )
