"""What calling a release takes, looked up once: its chain of models, each with translation, connections and guard."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import msgspec

from trimtab.artifacts.model import ModelContent
from trimtab.calls.formats import Format, Translation, translation_of
from trimtab.core.errors import TrimtabError, UpstreamError
from trimtab.providers.http import UpstreamClient
from trimtab.providers.resilience import Guard

if TYPE_CHECKING:
    from trimtab.calls.upstreams import Upstreams
    from trimtab.core.clock import Clock
    from trimtab.providers.resilience import Guards
    from trimtab.releases.model import CompiledRelease
    from trimtab.serving.release import PreparedRelease

__all__ = ["Plan", "Plans", "Target"]

_KNOWN = 1024
_SECONDS = 1e-9
_log = logging.getLogger("trimtab.calls")


class Target(msgspec.Struct, frozen=True):
    """One model that may answer."""

    translation: Translation
    client: UpstreamClient
    headers: bytes
    """Header lines of every call: content type and the provider's key."""
    model: ModelContent
    guard: Guard
    fallback: int = 0
    """Where it stands in the release's chain: 0 its own model, 1 its first fallback, ..."""


class Plan(msgspec.Struct, frozen=True):
    """How a release is called for callers of one format."""

    target: Target
    """Whom to ask first."""
    targets: tuple[Target, ...]
    """The whole chain that can be called from here, `target` first."""


class Plans:
    """Plans by release and format. One per process: it is as small as the releases in force are few."""

    def __init__(self, upstreams: Upstreams, guards: Guards, clock: Clock) -> None:
        self._upstreams = upstreams
        self._guards = guards
        self._clock = clock
        self._plans: dict[tuple[str, Format], Plan] = {}

    def find(self, release: PreparedRelease, format: Format) -> Plan:  # noqa: A002 - the field's word
        """Return the plan of a release.

        Raises `UpstreamError` (`unknown_provider`, `provider_key_missing`) where none of its providers can be called,
        `InputError` (`reserved_parameter`) where the release cannot be carried out.
        """
        key = (release.digest, format)
        plan = self._plans.get(key)
        if plan is None:
            if len(self._plans) >= _KNOWN:
                self._plans.clear()
            plan = self._plans[key] = self._make(release, format)
        return plan

    def _make(self, release: PreparedRelease, format: Format) -> Plan:  # noqa: A002 - the field's word
        """What cannot be called from here is left out of the chain, and said in the log; only with all of it an error.

        That a release's own model cannot be carried out is an error always: it is the release's, not this process's.
        """
        targets: list[Target] = []
        problem: TrimtabError | None = None
        variants = _chain(release.compiled)
        for index, variant in enumerate(variants):
            try:
                targets.append(self._target(variant, format, index))
            except TrimtabError as error:
                if index == 0 and not isinstance(error, UpstreamError):
                    raise
                problem = problem or error
                if len(variants) > 1:
                    name = f"{variant.model.provider}/{variant.model.model}"
                    told = {"feature": release.compiled.feature, "release": release.label, "code": error.code}
                    _log.warning("%s: %s cannot be called: %s", release.label, name, error.message, extra=told)
        if not targets:
            assert problem is not None  # noqa: S101 - a chain has at least one model
            raise problem
        return Plan(targets[0], tuple(targets))

    def _target(self, compiled: CompiledRelease, format: Format, index: int) -> Target:  # noqa: A002 - the field's word
        model = compiled.model
        translation: Any = translation_of(format, compiled)
        client, headers = self._upstreams.find(model.provider, compiled.wire)
        guard = self._guards.find(model.provider, model.model, self._clock.monotonic_ns() * _SECONDS)
        return Target(translation, client, headers, model, guard, index)


def _chain(compiled: CompiledRelease) -> list[CompiledRelease]:
    """Return a release as each of its models would be called: its own, then its fallbacks."""
    fallbacks = compiled.fallbacks
    return [
        compiled,
        *(msgspec.structs.replace(compiled, model=each.model, wire=each.wire) for each in fallbacks),
    ]
