"""The providers a process can reach: one pooled client and one set of fixed headers each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trimtab.core.errors import UpstreamError
from trimtab.providers.endpoint import authorization
from trimtab.providers.http import UpstreamClient

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

    from trimtab.providers.endpoint import Endpoint
    from trimtab.providers.http import ClientLimits

__all__ = ["Upstreams"]


class Upstreams:
    """Clients by provider name."""

    def __init__(
        self,
        endpoints: Mapping[str, Endpoint],
        limits: ClientLimits | None = None,
        *,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """`tls` replaces the verifying context (private certificate authorities)."""
        self._clients = {
            name: UpstreamClient(endpoint.base_url, name=f"provider `{name}`", limits=limits, tls=tls)
            for name, endpoint in endpoints.items()
        }
        self._endpoints = dict(endpoints)

    def find(self, provider: str, wire: str = "openai-chat/1") -> tuple[UpstreamClient, bytes]:
        """Return the client of a provider and its header lines for calls in a wire format.

        Raises `UpstreamError`: `unknown_provider`, or `provider_key_missing`.
        """
        endpoint = self._endpoints.get(provider)
        if endpoint is None:
            known = ", ".join(sorted(self._endpoints)) or "none"
            raise UpstreamError(
                "unknown_provider",
                f"the release asks for provider `{provider}`, which is not known here",
                param="model.provider",
                hint=f"name it under [providers.{provider}] in the settings; known are {known}",
            )
        return self._clients[provider], authorization(endpoint, wire)

    async def close(self) -> None:
        """Drop every connection."""
        for client in self._clients.values():
            await client.close()
