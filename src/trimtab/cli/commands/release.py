"""trimtab release."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
import msgspec

from trimtab.cli.output import emit_json, json_option, table, when
from trimtab.core.ids import short_digest

if TYPE_CHECKING:
    from trimtab.cli.context import AppContext

__all__ = ["command"]


@click.group("release")
def command() -> None:
    """List, show and compare releases."""


@command.command("list")
@click.argument("feature")
@json_option
@click.pass_obj
def list_releases(app: AppContext, feature: str, as_json: bool) -> None:  # noqa: FBT001 - click's signature
    """List the releases of FEATURE, newest first."""
    releases = app.control().releases(feature)
    if as_json:
        emit_json(releases)
        return
    rows = [
        (
            f"{release.feature}#{release.number}",
            short_digest(release.digest),
            when(release.created_at_ms),
            release.created_by,
            release.compiled.model.model,
            release.message,
        )
        for release in releases
    ]
    print(table(("release", "digest", "created (UTC)", "by", "model", "message"), rows))


@command.command("show")
@click.argument("feature")
@click.argument("reference")
@json_option
@click.pass_obj
def show(app: AppContext, feature: str, reference: str, as_json: bool) -> None:  # noqa: FBT001 - click's signature
    """Show one release of FEATURE: the fixed text it serves.

    REFERENCE is `#42`, a digest or an unambiguous beginning of one.
    """
    release = app.control().release(feature, reference)
    if as_json:
        emit_json(release)
        return
    print(f"{release.feature}#{release.number}  {release.digest}")
    for kind, digest in msgspec.to_builtins(release.manifest).items():
        if isinstance(digest, str) and kind != "feature":
            print(f"  {kind:<8} {digest}")
    for name, digest in release.manifest.partials.items():
        print(f"  partial  {name} {digest}")
    model = release.compiled.model
    print(f"  serves   {model.provider}/{model.model} {msgspec.json.encode(model.parameters).decode()}")
    for fallback in release.compiled.fallbacks:
        model = fallback.model
        parameters = msgspec.json.encode(model.parameters).decode()
        print(f"  then     {model.provider}/{model.model} {parameters} {fallback.wire}")
    for message in release.compiled.prompt.messages:
        print(f"\n--- {message.role}\n{message.content}")


@command.command("diff")
@click.argument("feature")
@click.argument("old")
@click.argument("new")
@json_option
@click.pass_obj
def diff(app: AppContext, feature: str, old: str, new: str, as_json: bool) -> None:  # noqa: FBT001 - click's signature
    """Tell what changed in meaning between two releases of FEATURE."""
    changes = app.control().diff(feature, old, new)
    if as_json:
        emit_json(changes)
        return
    for change in changes:
        print(f"{change.path}: {change.summary}")
    if not changes:
        print("no difference in behaviour")
