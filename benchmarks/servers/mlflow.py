"""MLflow's gateway, one worker."""

from __future__ import annotations

import os

from benchmarks.servers.model import BODY_MODEL, Server, Workspace, free_port

__all__ = ["VERSION", "prepare"]

VERSION = "3.17.2"
_CONFIGURATION = """\
endpoints:
  - name: {model}
    endpoint_type: llm/v1/chat
    model:
      provider: openai
      name: gpt-4o-mini
      config:
        openai_api_key: sk-upstream
        openai_api_base: http://127.0.0.1:{upstream}/v1
"""


def prepare(workspace: Workspace) -> Server:
    """One chat endpoint; no limits, no tracking."""
    programs = workspace.environments.python("mlflow", f"mlflow[genai]=={VERSION}")
    home, port = workspace.home("mlflow"), free_port()
    (home / "gateway.yaml").write_text(_CONFIGURATION.format(upstream=workspace.upstream_port, model=BODY_MODEL))
    at = ("--host", "127.0.0.1", "--port", str(port), "--workers", "1")
    return Server(
        name="MLflow gateway",
        version=VERSION,
        configuration="1 endpoint; no auth, limits or tracking",
        port=port,
        command=(str(programs / "mlflow"), "gateway", "start", "--config-path", "gateway.yaml", *at),
        # it starts its workers with a program found on the path
        env={"PATH": f"{programs}:{os.environ['PATH']}", "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"},
        home=home,
    )
