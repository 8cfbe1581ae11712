"""Portkey's open-source gateway (Node)."""

from __future__ import annotations

import shutil

from benchmarks.harness.environments import UnavailableError
from benchmarks.servers.model import Server, Workspace, free_port

__all__ = ["VERSION", "prepare"]

VERSION = "1.15.2"


def prepare(workspace: Workspace) -> Server:
    """One provider, named by headers; no cache, no hooks."""
    node = shutil.which("node")
    if node is None:
        raise UnavailableError("node is not installed")
    modules = workspace.environments.node("portkey", f"@portkey-ai/gateway@{VERSION}")
    port = free_port()
    return Server(
        name="Portkey",
        version=VERSION,
        configuration="provider by header; no auth, cache or hooks",
        port=port,
        command=(node, str(modules / "@portkey-ai/gateway/build/start-server.js"), f"--port={port}", "--headless"),
        env={"NODE_ENV": "production"},
        home=workspace.home("portkey"),
        headers=(
            "Authorization: Bearer sk-upstream",
            "x-portkey-provider: openai",
            f"x-portkey-custom-host: http://127.0.0.1:{workspace.upstream_port}/v1",
        ),
        model="gpt-4o-mini",
    )
