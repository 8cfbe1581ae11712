"""Settings of several machines: the control plane's door for data planes elsewhere, and their relay."""

from __future__ import annotations

import msgspec

__all__ = ["DataPlanesSettings", "RelaySettings"]


class DataPlanesSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where `trimtab server` listens to data planes of other machines. Each request needs a key with that role."""

    host: str = ""
    """Address to listen on, `0.0.0.0` for all; where empty, only this machine has data planes."""
    port: int = 8402
    address: str = ""
    """URL at which other machines reach this node: while it drives rollouts, the other nodes send relays here. Made of
    `host` (the machine's name, where that is all addresses) and `port` where empty."""
    tls_certificate: str = ""
    """File with the certificate chain (PEM). Plain HTTP where empty: then a proxy in front must encrypt."""
    tls_key: str = ""
    """File with its private key (PEM)."""


class RelaySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`trimtab relay`: connects the data planes of a machine to a control plane elsewhere.

    It also moves their journals into files: set `evidence.location` to a place that all machines share.
    """

    servers: list[str] = []
    """URLs of the nodes' doors for data planes, in any order; one is enough where a load balancer is before them."""
    key_env: str = "TRIMTAB_RELAY_KEY"
    """Name of the environment variable with the key (`trimtab key create TEAM --role data-plane`)."""
    machine: str = ""
    """Name of this machine in `trimtab running`; its host name where empty."""
    ca_file: str = ""
    """File with the certificates (PEM) that nodes may be signed by; the system's where empty."""
