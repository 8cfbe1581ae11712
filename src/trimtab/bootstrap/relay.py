"""The relay, wired: the machine's files, the nodes of the settings, and the key from the environment."""

from __future__ import annotations

import os
import re
import socket
import ssl
from typing import TYPE_CHECKING, NamedTuple

from trimtab.core.errors import InputError
from trimtab.core.ids import check_name

if TYPE_CHECKING:
    from trimtab.bootstrap.settings import Settings

__all__ = ["RelayWiring", "relay_wiring"]


class RelayWiring(NamedTuple):
    """What a relay is told from outside."""

    servers: list[str]
    key: str
    tls: ssl.SSLContext | None
    machine: str


def relay_wiring(settings: Settings) -> RelayWiring:
    """Return what the settings and the environment say; raises `InputError` for what is missing or cannot be used."""
    relay = settings.relay
    if not relay.servers:
        raise InputError(
            "no_server",
            "a relay needs the address of a control plane",
            param="relay.servers",
            hint="trimtab relay --server https://control.internal:8402",
        )
    key = os.environ.get(relay.key_env, "").strip()
    if not key or not key.isascii() or not key.isprintable():
        raise InputError(
            "no_relay_key",
            f"the environment variable {relay.key_env} holds no key",
            param="relay.key_env",
            hint="trimtab key create TEAM --role data-plane, on the control plane",
        )
    return RelayWiring(servers=relay.servers, key=key, tls=_context(settings), machine=_machine(relay.machine))


def _context(settings: Settings) -> ssl.SSLContext | None:
    if not any(server.startswith("https:") for server in settings.relay.servers) and not settings.relay.ca_file:
        return None
    try:
        return ssl.create_default_context(cafile=settings.relay.ca_file or None)
    except OSError as error:
        raise InputError(
            "unusable_certificates",
            f"the certificates cannot be read: {error}",
            param="relay.ca_file",
            hint="a PEM file of certificate authorities",
        ) from error


def _machine(name: str) -> str:
    """Return the machine's name; a host's is made into one."""
    if name:
        return check_name(name, what="machine")
    return re.sub(r"[^a-z0-9._-]", "-", socket.gethostname().lower()).strip(".-_")[:64] or "machine"
