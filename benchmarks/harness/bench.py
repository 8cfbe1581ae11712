"""The place where gateways are measured: the kit, the upstreams, and a folder that git ignores."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.harness.environments import Environments
from benchmarks.harness.kit import build_kit
from benchmarks.harness.processes import LOAD_CORE, on_core
from benchmarks.servers.model import Server, Workspace

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.harness.kit import Kit

__all__ = ["FOLDER", "ROOT", "direct", "make_certificate", "open_bench"]

ROOT = Path(__file__).parent.parent.parent
FOLDER = ROOT / ".bench"
"""Environments, compiled kit, configurations, journals: disk-backed, for a journal on tmpfs would flatter us."""


@contextlib.contextmanager
def open_bench(*, busy_poll: bool = False) -> Iterator[tuple[Kit, Workspace]]:
    """Build the kit and start the upstreams; this process keeps to the load generator's core meanwhile."""
    kit = dataclasses.replace(build_kit(FOLDER / "kit"), busy_poll=busy_poll)
    runs = FOLDER / "runs"
    shutil.rmtree(runs, ignore_errors=True)
    runs.mkdir(parents=True)
    with contextlib.ExitStack() as stack:
        stack.enter_context(on_core(LOAD_CORE))
        upstream = stack.enter_context(kit.upstream())
        pair = make_certificate(runs) if kit.tls else None
        tls = stack.enter_context(kit.upstream(*pair)) if pair else 0
        yield kit, Workspace(runs, Environments(FOLDER), upstream, tls, pair[0] if pair else Path())
    shutil.rmtree(runs, ignore_errors=True)


def direct(workspace: Workspace) -> Server:
    """The upstream itself, with nothing in front of it."""
    return Server(
        name="direct",
        version="",
        configuration="no gateway: the load generator calls the upstream",
        port=workspace.upstream_port,
        home=workspace.home("direct"),
    )


def make_certificate(folder: Path) -> tuple[Path, Path] | None:
    """Make a self-signed certificate for the upstream; `None` where there is no `openssl`."""
    openssl = shutil.which("openssl")
    if openssl is None:
        return None
    certificate, key = folder / "upstream.pem", folder / "upstream.key"
    subprocess.run(
        [
            *(openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30"),
            *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
            *("-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    return certificate, key
