"""Where a model provider is reached, and with which key. The key is resolved by whoever reads the environment."""

from __future__ import annotations

import dataclasses

from trimtab.core.errors import UpstreamError
from trimtab.providers.anthropic.headers import headers as anthropic_headers
from trimtab.providers.http.message import JSON_CONTENT, header

__all__ = ["Endpoint", "authorization"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One provider, by the name a `model` artifact gives."""

    name: str
    base_url: str
    """Up to and including the version: `https://api.openai.com/v1`."""
    api_key_env: str = ""
    """Name of the environment variable that holds the key; empty where the provider needs none."""
    api_key: str = dataclasses.field(default="", repr=False)
    """The key itself; never shown."""

    def __post_init__(self) -> None:
        # A key with a line break would be two header lines.
        object.__setattr__(self, "api_key", self.api_key.strip())


def authorization(endpoint: Endpoint, wire: str = "openai-chat/1") -> bytes:
    """Return the header lines of a JSON call to `endpoint` in a wire format: OpenAI's take a bearer, Anthropic's a key.

    Raises `UpstreamError` (`provider_key_missing`) where a key is needed and was not found.
    """
    if wire.startswith("anthropic-") and (endpoint.api_key or not endpoint.api_key_env):
        return JSON_CONTENT + anthropic_headers(endpoint.api_key)
    if endpoint.api_key:
        return JSON_CONTENT + header(b"authorization", f"Bearer {endpoint.api_key}")
    if endpoint.api_key_env:
        raise UpstreamError(
            "provider_key_missing",
            f"there is no key for provider `{endpoint.name}`",
            param=endpoint.api_key_env,
            hint=f"set {endpoint.api_key_env} where the gateway is started",
        )
    return JSON_CONTENT
