"""The data plane, wired. Imports nothing of the control plane's: import-linter holds that."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from trimtab.bootstrap.hooks import load_hook
from trimtab.providers.endpoint import Endpoint
from trimtab.serving.runtime import DataPlane

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trimtab.bootstrap.settings import Settings

__all__ = ["endpoints", "open_data_plane"]


def endpoints(settings: Settings, environ: Mapping[str, str] | None = None) -> dict[str, Endpoint]:
    """Return where each provider is reached, with the key that its environment variable holds."""
    environ = os.environ if environ is None else environ
    return {
        name: Endpoint(
            name=name,
            base_url=provider.base_url,
            api_key_env=provider.api_key_env,
            api_key=environ.get(provider.api_key_env, "") if provider.api_key_env else "",
        )
        for name, provider in settings.providers.items()
    }


def open_data_plane(settings: Settings, *, kind: str) -> DataPlane:
    """Open the data plane of this process, with the redaction hook that the settings name.

    Raises `InputError` where the hook cannot be loaded, `StorageError` where the journal cannot be made.
    """
    gateway = settings.gateway
    redact = load_hook(gateway.redact, gateway.redact_path, setting="gateway.redact") if gateway.redact else None
    return DataPlane.open(
        settings.data_directory, environment=settings.environment, kind=kind, redact=redact, journal=settings.journal
    )
