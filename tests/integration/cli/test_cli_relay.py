"""`trimtab relay` as users meet it before it runs, and when they ask how it fares."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from trimtab.relay.health import RelayHealth, write_health

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    Trimtab = Callable[..., subprocess.CompletedProcess[str]]

SERVER = "http://127.0.0.1:1"


@pytest.mark.parametrize(
    ("arguments", "variables", "said"),
    [
        ((), {}, ["needs the address of a control plane", "relay.servers", "--server https://"]),
        (("--server", SERVER), {}, ["TRIMTAB_RELAY_KEY holds no key", "key create TEAM --role data-plane"]),
        (("--server", "control:8402"), {"TRIMTAB_RELAY_KEY": "tt-x"}, ["is no address of a node"]),
        (("--health",), {}, ["no relay ever ran here", "relay.json"]),
    ],
)
def test_what_is_missing_is_told(
    trimtab: Trimtab, arguments: tuple[str, ...], variables: dict[str, str], said: list[str]
) -> None:
    done = trimtab("relay", *arguments, **variables)
    assert done.returncode == 2
    assert all(part in done.stderr for part in said), done.stderr


def health(**changes: Any) -> RelayHealth:
    well = RelayHealth(
        machine="web-3",
        environment="production",
        pid=1,
        at_ms=time.time_ns() // 1_000_000,
        server="https://control-1:8402",
        journals_to="https://control-2:8402",
        revision=7,
        heard_seconds_ago=0.3,
        shipped_seconds_ago=None,
        backlog_bytes=12_345,
        problem="",
    )
    return msgspec.structs.replace(well, **changes)


def test_how_a_relay_fares_is_an_exit_status_too(trimtab: Trimtab, shop: Path) -> None:
    path = shop / ".trimtab" / "relay.json"
    write_health(path, health(at_ms=time.time_ns() // 1_000_000 + 60_000))  # so that a slow start is no silence
    well = trimtab("relay", "--health")
    assert (well.returncode, well.stderr) == (0, "")
    assert "web-3 (production), snapshot 7: well" in well.stdout
    assert "https://control-2:8402, last taken never" in well.stdout
    assert "12,345 bytes" in well.stdout
    write_health(path, health(at_ms=time.time_ns() // 1_000_000 + 60_000, problem="journals: refused"))
    cut_off = trimtab("relay", "--health", "--json")
    assert cut_off.returncode == 1
    assert json.loads(cut_off.stdout)["problem"] == "journals: refused"
    write_health(path, health(at_ms=1))
    dead = trimtab("relay", "--health")
    assert dead.returncode == 1
    assert "the relay wrote nothing for" in dead.stdout


def test_a_certificate_needs_its_key(trimtab: Trimtab, shop: Path) -> None:
    settings = shop / "tls.toml"
    settings.write_text('[server.data_planes]\nhost = "127.0.0.1"\ntls_certificate = "node.pem"\n')
    done = trimtab("--config", str(settings), "server", "--port", "1")
    assert done.returncode == 2
    assert "a certificate needs its key" in done.stderr
