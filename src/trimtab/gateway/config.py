"""What the gateway is told, and whether it may listen there."""

from __future__ import annotations

import ipaddress

import msgspec

from trimtab.core.errors import InputError
from trimtab.providers.resilience.policy import BreakerPolicy, RetryPolicy
from trimtab.serving.team_limit import TeamLimit
from trimtab.telemetry.access import MetricsAccess

__all__ = ["GatewayConfig", "check_bind", "may_be_open"]


class GatewayConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of one gateway process. Times in seconds, sizes in bytes."""

    host: str = "127.0.0.1"
    port: int = 8400
    max_body_bytes: int = 10 * 1024 * 1024
    """Larger requests are answered with 413."""
    max_head_bytes: int = 64 * 1024
    max_answer_bytes: int = 64 * 1024 * 1024
    """A complete answer larger than this is given up with 502."""
    request_seconds: float = 60.0
    """How long a request may take to arrive."""
    idle_seconds: float = 75.0
    """How long a kept-alive connection may wait."""
    connect_timeout_seconds: float = 10.0
    upstream_timeout_seconds: float = 600.0
    """From the call to the last byte of the answer."""
    silence_timeout_seconds: float = 300.0
    """Longest silence of an upstream."""
    max_upstream_connections: int = 512
    """Per provider."""
    drain_seconds: float = 30.0
    """How long SIGTERM waits for requests in flight."""
    drain_idle_seconds: float = 3.0
    """How much of it idle connections are kept open, for requests that are on their way."""
    mirror_concurrency: int = 32
    """Mirrored requests in flight at once."""
    mirror_queue: int = 256
    """Mirrored requests that wait; more are dropped, and counted."""
    trust_network: bool = False
    """Listen off loopback although no key exists."""
    reuse_port: bool = False
    """Share the port with other gateway processes on this machine."""
    limits: dict[str, TeamLimit] = {}
    """By team; `*` stands for every team that is not named."""
    shadow_limits: dict[str, TeamLimit] = {}
    """The same for mirrored requests, by the team that owns the feature."""
    metrics: MetricsAccess = MetricsAccess()
    """Who may read `/metrics`."""
    retry: RetryPolicy = RetryPolicy()
    breaker: BreakerPolicy = BreakerPolicy()


def check_bind(config: GatewayConfig, *, has_keys: bool) -> None:
    """Raise `InputError` (`unauthenticated_listener`) where anybody on the network could call without a key."""
    if has_keys or may_be_open(config):
        return
    raise InputError(
        "unauthenticated_listener",
        f"the gateway would listen on {config.host} without asking for a key",
        param="gateway.host",
        hint="create a key (`trimtab key create`), or set gateway.trust_network = true where the network is yours",
    )


def may_be_open(config: GatewayConfig) -> bool:
    """Return whether the gateway may serve without asking for a key, where none exists."""
    return config.trust_network or _is_loopback(config.host)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
