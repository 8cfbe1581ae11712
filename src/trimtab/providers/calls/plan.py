"""What calling a release takes, looked up once: translation, connection pool, header lines, model, price."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from trimtab.artifacts.model import ModelContent
from trimtab.providers.calls.translation import Format, Translation, translation_of
from trimtab.providers.http import UpstreamClient

if TYPE_CHECKING:
    from trimtab.providers.calls.upstreams import Upstreams
    from trimtab.serving.release import PreparedRelease

__all__ = ["Plan", "Plans", "Target"]

_KNOWN = 1024


class Target(msgspec.Struct, frozen=True):
    """One model that may answer."""

    translation: Translation
    client: UpstreamClient
    headers: bytes
    """Header lines of every call: content type and the provider's key."""
    model: ModelContent


class Plan(msgspec.Struct, frozen=True):
    """How a release is called for callers of one format."""

    target: Target


class Plans:
    """Plans by release and format. One per process: it is as small as the releases in force are few."""

    def __init__(self, upstreams: Upstreams) -> None:
        self._upstreams = upstreams
        self._plans: dict[tuple[str, Format], Plan] = {}

    def find(self, release: PreparedRelease, format: Format) -> Plan:  # noqa: A002 - the field's word
        """Return the plan of a release.

        Raises `UpstreamError` (`unknown_provider`, `provider_key_missing`) where its provider cannot be called,
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
        compiled = release.compiled
        translation: Any = translation_of(format, compiled)
        client, headers = self._upstreams.find(compiled.model.provider)
        return Plan(Target(translation, client, headers, compiled.model))
