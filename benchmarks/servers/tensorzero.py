"""TensorZero's gateway (Rust), as its Python package embeds it: an HTTP server on a port of its own choosing.

The package ships the gateway without its stand-alone program; patching an OpenAI client with it starts the same HTTP
server, which is what is measured.
"""

from __future__ import annotations

from benchmarks.servers.model import Server, Workspace

__all__ = ["VERSION", "prepare"]

VERSION = "2026.6.0"
_CONFIGURATION = """\
[gateway]
observability.enabled = false

[models.gpt-4o-mini]
routing = ["openai"]
[models.gpt-4o-mini.providers.openai]
type = "openai"
model_name = "gpt-4o-mini"
api_base = "http://127.0.0.1:{upstream}/v1/"

[models.gpt-4o]
routing = ["openai"]
[models.gpt-4o.providers.openai]
type = "openai"
model_name = "gpt-4o"
api_base = "http://127.0.0.1:{upstream}/v1/"

[functions.support]
type = "chat"
[functions.support.variants.a]
type = "chat_completion"
model = "gpt-4o-mini"
weight = 0.9
[functions.support.variants.b]
type = "chat_completion"
model = "gpt-4o"
weight = 0.1
"""
_PROGRAM = """\
import asyncio, inspect, os, pathlib
import openai, tensorzero

async def main():
    client = openai.AsyncOpenAI(api_key="unused")
    patched = tensorzero.patch_openai_client(
        client, config_file="tensorzero.toml", clickhouse_url=None, async_setup=True
    )
    if inspect.isawaitable(patched):
        await patched
    pathlib.Path("port.new").write_text(str(client.base_url.port))
    os.replace("port.new", "port")
    await asyncio.Event().wait()

asyncio.run(main())
"""


def prepare(workspace: Workspace) -> Server:
    """One function with two variants, so that it assigns as we do; observability off."""
    python = workspace.environments.python("tensorzero", f"tensorzero=={VERSION}", "openai==3.54.0") / "python"
    home = workspace.home("tensorzero")
    (home / "tensorzero.toml").write_text(_CONFIGURATION.format(upstream=workspace.upstream_port))
    (home / "serve.py").write_text(_PROGRAM)
    return Server(
        name="TensorZero",
        version=VERSION,
        configuration="2 weighted variants; no auth, limits or observability",
        port_file=home / "port",
        command=(str(python), "serve.py"),
        env={"OPENAI_API_KEY": "sk-upstream"},
        home=home,
        path="/openai/v1/chat/completions",
        model="tensorzero::function_name::support",
    )
