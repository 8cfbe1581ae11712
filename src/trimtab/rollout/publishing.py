"""The routing snapshot as a function of control state: compiled twice, it is the same twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from trimtab.core.canonical import canonical_digest
from trimtab.core.errors import IntegrityError
from trimtab.rollout.ports import Published
from trimtab.rollout.routing import is_routed, routing
from trimtab.rollout.spec import decode_plan
from trimtab.serving.snapshot import Price, Route, Snapshot
from trimtab.serving.snapshot_file import encode_snapshot
from trimtab.serving.snapshot_reading import with_reader

if TYPE_CHECKING:
    from collections.abc import Callable

    from trimtab.policy.model import ApiKey
    from trimtab.releases.model import CompiledRelease, Pointer
    from trimtab.rollout.model import Rollout
    from trimtab.rollout.ports import ControlTransaction

    Prices = Callable[[CompiledRelease], Price | None]

_LONGEST_LOSS = 1_000_000
"""Revisions that a restored store may lack; data planes that claim to serve later ones are not believed."""

__all__ = ["compile_snapshot", "is_ahead", "no_prices", "publish_into", "routing_fingerprint"]


def no_prices(_release: CompiledRelease) -> Price | None:
    """Return no price: cost is then not measured."""
    return None


def publish_into(tx: ControlTransaction, environment: str, *, now_ms: int, prices: Prices, above: int = 0) -> Snapshot:
    """Compile the snapshot of an environment under its next revision and store it as the one in force.

    It is true for every node once the transaction commits; whoever publishes puts it into its own files then. Data
    planes that serve revision `above` will take it: they refuse what is older, and the store may have been restored.
    """
    believed = is_ahead(above, tx.snapshot_revision(environment))
    revision = tx.next_snapshot_revision(environment, above=above if believed else 0)
    snapshot = compile_snapshot(tx, environment, revision=revision, now_ms=now_ms, prices=prices)
    tx.put_snapshot(Published(environment=environment, revision=revision, body=encode_snapshot(snapshot)))
    return snapshot


def is_ahead(served: int, stored: int) -> bool:
    """Whether data planes serve a later revision than the store knows: it was restored from a backup."""
    return stored < served <= stored + _LONGEST_LOSS


def compile_snapshot(
    tx: ControlTransaction, environment: str, *, revision: int, now_ms: int, prices: Prices
) -> Snapshot:
    """Return everything the data planes of an environment need, read in one transaction.

    Raises `IntegrityError` where a pointer or a rollout names a release that is not stored.
    """
    rollouts = {rollout.feature: rollout for rollout in tx.active_rollouts(environment)}
    releases: dict[str, CompiledRelease] = {}
    routes = [
        _route(tx, pointer, rollouts.get(pointer.feature), releases)
        for pointer in sorted(tx.pointers(environment), key=lambda pointer: pointer.feature)
    ]
    priced = {digest: price for digest, release in releases.items() if (price := prices(release)) is not None}
    compiled = Snapshot(
        revision=revision,
        environment=environment,
        published_at_ms=now_ms,
        fingerprint=routing_fingerprint(tx, environment),
        routes=routes,
        releases=releases,
        prices=priced,
        fallback_prices=_fallback_prices(releases, prices),
        keys=dict(_live_keys(tx)),
        keys_required=bool(_gateway_keys(tx)),
    )
    return with_reader(compiled)


def _fallback_prices(releases: dict[str, CompiledRelease], prices: Prices) -> dict[str, list[Price | None]]:
    chains = {digest: release.fallbacks for digest, release in releases.items()}
    return {
        digest: [prices(msgspec.structs.replace(releases[digest], model=fallback.model)) for fallback in chain]
        for digest, chain in chains.items()
        if chain
    }


def _route(
    tx: ControlTransaction, pointer: Pointer, rollout: Rollout | None, releases: dict[str, CompiledRelease]
) -> Route:
    feature = tx.feature(pointer.feature)
    route = None if rollout is None else routing(rollout, decode_plan(rollout.plan))
    made = Route(
        feature=pointer.feature,
        stable=pointer.release,
        team="" if feature is None else feature.team,
        capture_content=True if feature is None else feature.capture_content,
        rollout=route,
    )
    for digest in made.releases:
        release = tx.release(digest)
        if release is None:
            raise IntegrityError(
                "missing_release",
                f"`{pointer.environment}` needs release {digest} of `{pointer.feature}`, which is not stored",
                param=digest,
                hint="restore the control database from a backup; data planes go on with their last good snapshot",
            )
        releases[digest] = release.compiled
    return made


def routing_fingerprint(tx: ControlTransaction, environment: str) -> str:
    """Return a digest that changes when, and only when, the environment's snapshot would: four cheap reads."""
    rollouts = [
        (rollout.id, rollout.state, rollout.stage, rollout.candidate, rollout.dropped)
        for rollout in tx.active_rollouts(environment)
        if is_routed(rollout)
    ]
    pointers = [(pointer.feature, pointer.release) for pointer in tx.pointers(environment)]
    features = [(feature.name, feature.team, feature.capture_content) for feature in tx.features()]
    keys = [_live_keys(tx), bool(_gateway_keys(tx))]
    return canonical_digest(msgspec.to_builtins([sorted(pointers), sorted(rollouts), sorted(features), *keys]))


def _live_keys(tx: ControlTransaction) -> list[tuple[str, str]]:
    return sorted((key.hash, key.team) for key in _gateway_keys(tx) if key.revoked_at_ms is None)


def _gateway_keys(tx: ControlTransaction) -> list[ApiKey]:
    keys = tx.keys()
    return [key for key in keys if key.role == "gateway"]
