"""What calls a model: features, their releases and prompts, their traffic, and by when that must end. Pure."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from trimtab.core.quantity import quantity
from trimtab.migration.capabilities import Lifecycle
from trimtab.releases.model import Feature, Pointer, Release

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from trimtab.migration.capabilities import Capabilities
    from trimtab.migration.traffic import TrafficRow

__all__ = [
    "Consumer",
    "Deadline",
    "FeatureTraffic",
    "Inventory",
    "ModelName",
    "ModelUse",
    "PromptFork",
    "Registry",
    "deadline_of",
    "take_inventory",
]


class ModelName(msgspec.Struct, frozen=True, kw_only=True):
    """A model as people write it: `provider/model`."""

    provider: str
    model: str

    @property
    def text(self) -> str:
        """As it was written."""
        return f"{self.provider}/{self.model}"


class ModelUse(msgspec.Struct, frozen=True, kw_only=True):
    """A feature whose stable release calls the model."""

    feature: str
    team: str
    release: str
    """Digest."""
    number: int
    role: Literal["model", "fallback"]
    """`fallback`: it answers where the release's own model cannot."""
    prompt: str
    """Digest of the prompt."""
    parameters: dict[str, Any]


class PromptFork(msgspec.Struct, frozen=True, kw_only=True):
    """One wording of a feature's prompt, and the models it was released with."""

    prompt: str
    """Digest."""
    models: list[str]
    releases: list[int]
    """Numbers, oldest first."""


class FeatureTraffic(msgspec.Struct, frozen=True, kw_only=True):
    """What was logged of a feature's calls to the model."""

    feature: str
    calls: int
    errors: int
    input_tokens: int
    output_tokens: int
    largest_input_tokens: int
    cost_usd: float
    last_ms: int
    served: dict[str, int] = {}
    """Calls by the model that the provider says served them."""


class Consumer(msgspec.Struct, frozen=True, kw_only=True):
    """Who sends the calls: a team's gateway key, or a process without one."""

    team: str
    """Empty where no key was sent."""
    process: str
    feature: str
    calls: int
    last_ms: int


class Deadline(msgspec.Struct, frozen=True, kw_only=True):
    """When the old model is gone, and when the work had to begin."""

    shutdown: str
    """ISO date."""
    days_left: int
    """Negative once it is past."""
    start_by: str
    """ISO date: the shutdown less the lead time."""
    late: bool
    """Whether that is past."""
    source: str

    @property
    def text(self) -> str:
        """It in words."""
        if self.days_left < 0:
            return f"shut down on {self.shutdown}, {quantity(-self.days_left, 'day')} ago"
        left = f"in {quantity(self.days_left, 'day')}" if self.days_left else "today"
        when = f"shut down on {self.shutdown}, {left}"
        return f"{when}; with the lead time it had to begin by {self.start_by}" if self.late else when


class Inventory(msgspec.Struct, frozen=True, kw_only=True):
    """The artefact of state `inventory`."""

    source: ModelName
    target: ModelName
    environment: str
    naming: Literal["pinned", "alias", "unknown"]
    stands_for: str
    """What the alias stands for today, empty where it is none."""
    uses: list[ModelUse]
    forks: dict[str, list[PromptFork]]
    """By feature: its prompts, where releases for several models have different ones."""
    traffic: list[FeatureTraffic]
    consumers: list[Consumer]
    elsewhere: list[str]
    """Features whose calls reached the model though no stable release of theirs names it."""
    since_ms: int
    until_ms: int
    lifecycle: Lifecycle | None = None


class Registry(msgspec.Struct, frozen=True, kw_only=True):
    """What the registry holds of one environment."""

    features: dict[str, Feature]
    pointers: list[Pointer]
    releases: dict[str, list[Release]]
    """By feature, newest first."""


def take_inventory(
    registry: Registry,
    traffic: Sequence[TrafficRow],
    *,
    target: ModelName,
    source: Capabilities,
    environment: str,
    span: tuple[int, int],
) -> Inventory:
    """Return what calls the model. A feature without traffic is listed: its next call would still fail."""
    name = ModelName(provider=source.provider, model=source.model)
    uses = [use for pointer in registry.pointers if (use := _use(registry, pointer, name)) is not None]
    named = {use.feature for use in uses}
    by_feature: dict[str, list[TrafficRow]] = {}
    for row in traffic:
        by_feature.setdefault(row.feature, []).append(row)
    return Inventory(
        source=name,
        target=target,
        environment=environment,
        naming=source.naming,
        stands_for="" if source.alias is None else source.alias.snapshot,
        uses=uses,
        forks={use.feature: forks for use in uses if len(forks := _forks(registry.releases[use.feature])) > 1},
        traffic=[_traffic(feature, rows) for feature, rows in sorted(by_feature.items())],
        consumers=_consumers(traffic),
        elsewhere=sorted(by_feature.keys() - named),
        since_ms=span[0],
        until_ms=span[1],
        lifecycle=source.lifecycle,
    )


def deadline_of(lifecycle: Lifecycle | None, *, now_ms: int, lead_days: float) -> Deadline | None:
    """Return when the model is gone, `None` where nobody has said so."""
    if lifecycle is None or not lifecycle.shutdown:
        return None
    ends = date.fromisoformat(lifecycle.shutdown)
    today = datetime.fromtimestamp(now_ms / 1000, UTC).date()
    start = ends - timedelta(days=lead_days)
    return Deadline(
        shutdown=lifecycle.shutdown,
        days_left=(ends - today).days,
        start_by=start.isoformat(),
        late=start < today,
        source=lifecycle.source,
    )


def _use(registry: Registry, pointer: Pointer, name: ModelName) -> ModelUse | None:
    release = next((one for one in registry.releases[pointer.feature] if one.digest == pointer.release), None)
    if release is None:
        return None
    compiled = release.compiled
    chain = [compiled.model, *(fallback.model for fallback in compiled.fallbacks)]
    place = next((i for i, one in enumerate(chain) if (one.provider, one.model) == (name.provider, name.model)), None)
    if place is None:
        return None
    feature = registry.features.get(pointer.feature)
    return ModelUse(
        feature=pointer.feature,
        team="" if feature is None else feature.team,
        release=release.digest,
        number=release.number,
        role="fallback" if place else "model",
        prompt=release.manifest.prompt,
        parameters=chain[place].parameters,
    )


def _forks(releases: Iterable[Release]) -> list[PromptFork]:
    """Return the wordings of a prompt; none where every model was released with every wording alike."""
    prompts: dict[str, list[Release]] = {}
    for release in sorted(releases, key=lambda one: one.number):
        prompts.setdefault(release.manifest.prompt, []).append(release)
    forks = [
        PromptFork(
            prompt=prompt,
            models=sorted({f"{one.compiled.model.provider}/{one.compiled.model.model}" for one in found}),
            releases=[one.number for one in found],
        )
        for prompt, found in prompts.items()
    ]
    return forks if len({tuple(fork.models) for fork in forks}) > 1 else []


def _traffic(feature: str, rows: Sequence[TrafficRow]) -> FeatureTraffic:
    served: dict[str, int] = {}
    for row in rows:
        served[row.served_model] = served.get(row.served_model, 0) + row.calls
    return FeatureTraffic(
        feature=feature,
        calls=sum(row.calls for row in rows),
        errors=sum(row.errors for row in rows),
        input_tokens=sum(row.input_tokens for row in rows),
        output_tokens=sum(row.output_tokens for row in rows),
        largest_input_tokens=max(row.largest_input_tokens for row in rows),
        cost_usd=sum(row.cost_usd for row in rows),
        last_ms=max(row.last_ms for row in rows),
        served=served,
    )


def _consumers(rows: Iterable[TrafficRow]) -> list[Consumer]:
    found: dict[tuple[str, str, str], tuple[int, int]] = {}
    for row in rows:
        key = (row.team, row.process, row.feature)
        calls, last = found.get(key, (0, 0))
        found[key] = (calls + row.calls, max(last, row.last_ms))
    return [
        Consumer(team=team, process=process, feature=feature, calls=calls, last_ms=last)
        for (team, process, feature), (calls, last) in sorted(found.items(), key=lambda item: (-item[1][0], item[0]))
    ]
