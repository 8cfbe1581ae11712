"""The providers a gateway can reach: one pooled client and one set of fixed headers each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trimtab.core.errors import UpstreamError
from trimtab.providers.endpoint import authorization
from trimtab.providers.http import ClientLimits, UpstreamClient

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

    from trimtab.gateway.config import GatewayConfig
    from trimtab.providers.endpoint import Endpoint

__all__ = ["Upstreams"]


class Upstreams:
    """Clients by provider name."""

    def __init__(
        self, endpoints: Mapping[str, Endpoint], config: GatewayConfig, *, tls: ssl.SSLContext | None = None
    ) -> None:
        limits = ClientLimits(
            connect_seconds=config.connect_timeout_seconds,
            read_seconds=config.silence_timeout_seconds,
            total_seconds=config.upstream_timeout_seconds,
            max_connections=config.max_upstream_connections,
        )
        self._clients = {
            name: UpstreamClient(endpoint.base_url, limits=limits, tls=tls) for name, endpoint in endpoints.items()
        }
        self._endpoints = dict(endpoints)

    def find(self, provider: str) -> tuple[UpstreamClient, bytes]:
        """Return the client of a provider and its header lines.

        Raises `UpstreamError`: `unknown_provider`, or `provider_key_missing`.
        """
        endpoint = self._endpoints.get(provider)
        if endpoint is None:
            known = ", ".join(sorted(self._endpoints)) or "none"
            raise UpstreamError(
                "unknown_provider",
                f"the release asks for provider `{provider}`, which this gateway does not know",
                param="model.provider",
                hint=f"name it under [providers.{provider}] in the settings; known are {known}",
            )
        return self._clients[provider], authorization(endpoint)

    async def close(self) -> None:
        """Drop every connection."""
        for client in self._clients.values():
            await client.close()
