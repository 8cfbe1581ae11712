"""Our own gateway, started as users start it: `trimtab gateway` on a data directory with a published snapshot.

Compiled (`hatch_build.py`), but in one configuration, and where that cannot be. On in every configuration: a gateway
key that maps to a team, a rollout in progress (assignment hashes, the prompt is the release's), prices, usage, retries
and timeouts as they are by default, and the durable journal.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from typing import TYPE_CHECKING

from benchmarks.harness.compiled import compiled_data_plane, missing_tools
from benchmarks.servers.model import BODY_MODEL, Server, Workspace, free_port
from trimtab.artifacts.model import ModelContent, PromptContent, PromptMessage
from trimtab.releases.model import CompiledRelease
from trimtab.serving.directory import DataDirectory
from trimtab.serving.snapshot import Price, RolloutRoute, Route, Snapshot
from trimtab.serving.snapshot_file import publish

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["KEY", "prepare", "prepare_capturing", "prepare_source", "prepare_tls", "snapshot_of", "start_as"]

KEY = "sk-trimtab-benchmark-0123456789abcdef"
_TEAM = "team-support"
_PROMPT = "You are the Acme support assistant, release {}. Answer from the order data only, in at most three sentences."
_GATEWAY = f"""
[gateway]
workers = 1

[gateway.limits.{_TEAM}]
requests_per_minute = 100000000
usd_per_day = 1000000.0
concurrent = 100000
"""
"""Limits that are met by nobody, and counted all the same."""
_ON = "auth, team's rate, money and concurrency limits, rollout, retries armed, usage and cost, fsynced events"


def prepare(workspace: Workspace) -> Server:
    """Events without content."""
    return start_as(workspace, "trimtab", configuration=_ON)


def prepare_source(workspace: Workspace) -> Server:
    """The same from its sources, as `pip install` leaves it where it is not told to compile."""
    return start_as(workspace, "trimtab, not compiled", configuration=_ON, compiled=False)


def prepare_capturing(workspace: Workspace) -> Server:
    """Events with prompt and answer."""
    return start_as(workspace, "trimtab, content captured", configuration=f"{_ON}, full content", capture=True)


def prepare_tls(workspace: Workspace) -> Server:
    """The upstream behind TLS, its certificate verified."""
    return start_as(workspace, "trimtab, TLS upstream", configuration=f"{_ON}, certificate verified", tls=True)


def start_as(
    workspace: Workspace,
    name: str,
    *,
    configuration: str,
    capture: bool = False,
    tls: bool = False,
    compiled: bool = True,
) -> Server:
    """Write settings and snapshot of one configuration, and tell how to start it."""
    home, port = workspace.home(name.replace(", ", "-").replace(" ", "-")), free_port()
    data = DataDirectory(home / "data")
    shutil.rmtree(data.root, ignore_errors=True)
    publish(data.snapshot("production"), snapshot_of(capture=capture))
    scheme, upstream = ("https", workspace.tls_port) if tls else ("http", workspace.upstream_port)
    _write_settings(home, f"{scheme}://127.0.0.1:{upstream}/v1")
    env = {"OPENAI_API_KEY": "sk-upstream"}
    if tls:
        env["SSL_CERT_FILE"] = str(workspace.certificate)
    if compiled and not missing_tools():
        env["PYTHONPATH"] = str(compiled_data_plane())
        configuration = f"compiled; {configuration}"
    return Server(
        name=name,
        version="this commit",
        configuration=configuration,
        port=port,
        command=(sys.executable, "-m", "trimtab", "gateway", "--port", str(port)),
        env=env,
        home=home,
        headers=(f"Authorization: Bearer {KEY}",),
        data=data.root,
    )


def _write_settings(home: Path, upstream: str) -> None:
    text = f'directory = "data"\n\n[providers.openai]\nbase_url = {json.dumps(upstream)}\n'
    (home / "trimtab.toml").write_text(text + _GATEWAY)


def _release(number: int, model: str) -> CompiledRelease:
    return CompiledRelease(
        digest=f"sha256:{number:064x}",
        feature=BODY_MODEL,
        number=number,
        prompt=PromptContent(messages=[PromptMessage(role="system", content=_PROMPT.format(number))], variables={}),
        model=ModelContent(provider="openai", model=model, parameters={"max_tokens": 300}),
    )


def snapshot_of(*, capture: bool) -> Snapshot:
    stable, candidate = _release(1, "gpt-4o-mini"), _release(2, "gpt-4o")
    rollout = RolloutRoute(
        id="rol_1", candidate=candidate.digest, salt="s", stage=1, state="progressing", weight=0.1, control_weight=0.1
    )
    route = Route(feature=BODY_MODEL, stable=stable.digest, team=_TEAM, capture_content=capture, rollout=rollout)
    return Snapshot(
        revision=1,
        environment="production",
        published_at_ms=0,
        routes=[route],
        releases={release.digest: release for release in (stable, candidate)},
        prices={
            stable.digest: Price(input_usd=0.15, output_usd=0.6),
            candidate.digest: Price(input_usd=2.5, output_usd=10.0),
        },
        keys={hashlib.sha256(KEY.encode()).hexdigest(): _TEAM},
        keys_required=True,
    )
