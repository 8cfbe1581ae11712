"""LiteLLM's proxy, one worker, as its documentation starts it."""

from __future__ import annotations

from benchmarks.servers.model import BODY_MODEL, Server, Workspace, free_port

__all__ = ["VERSION", "prepare"]

VERSION = "1.106.0"
_KEY = "sk-benchmark-0123456789abcdef"
_CONFIGURATION = """\
model_list:
  - model_name: {model}
    litellm_params:
      model: openai/gpt-4o-mini
      api_base: http://127.0.0.1:{upstream}/v1
      api_key: sk-upstream
litellm_settings:
  set_verbose: false
  num_retries: 0
  request_timeout: 60
  telemetry: false
general_settings:
  master_key: {key}
"""


def prepare(workspace: Workspace) -> Server:
    """One model; no database, callbacks or retries: the least it can be asked to do (a key it insists on)."""
    program = workspace.environments.python("litellm", f"litellm[proxy]=={VERSION}") / "litellm"
    home, port = workspace.home("litellm"), free_port()
    (home / "config.yaml").write_text(
        _CONFIGURATION.format(upstream=workspace.upstream_port, model=BODY_MODEL, key=_KEY)
    )
    at = ("--host", "127.0.0.1", "--port", str(port), "--num_workers", "1")
    return Server(
        name="LiteLLM proxy",
        version=VERSION,
        configuration="1 model, master key; no budgets, database or callbacks",
        port=port,
        command=(str(program), "--config", "config.yaml", *at),
        env={"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR", "NO_DOCS": "True"},
        home=home,
        headers=(f"Authorization: Bearer {_KEY}",),
    )
