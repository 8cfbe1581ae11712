"""The SDK's benchmark in an environment with its peers."""

from __future__ import annotations

import subprocess
import tempfile
import tomllib
from pathlib import Path

import msgspec

from benchmarks.harness.bench import FOLDER, ROOT
from benchmarks.harness.compiled import compiled_data_plane, missing_tools
from benchmarks.harness.environments import Environments, UnavailableError
from benchmarks.harness.results import Sdk

__all__ = ["measure_sdk"]

_PEERS = ("langfuse==5.0.4", "growthbook==4.0.0", "openfeature-sdk==0.10.0", "openai==3.54.0", "jinja2")
_ROUNDS, _QUICK_ROUNDS = 15, 3


def measure_sdk(*, command: str, quick: bool) -> Sdk | None:
    """Run `python -m benchmarks sdk` beside the peers; `None`, with the reason printed, where that cannot be."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    own = (*project["dependencies"], *project["optional-dependencies"]["gateway"])
    try:
        python = Environments(FOLDER).python("sdk", *own, *_PEERS) / "python"
    except UnavailableError as reason:
        print(f"  sdk: skipped, {reason}")
        return None
    ours = ROOT / "src" if missing_tools() else compiled_data_plane()
    with tempfile.TemporaryDirectory() as folder:
        found = Path(folder) / "sdk.json"
        rounds = str(_QUICK_ROUNDS if quick else _ROUNDS)
        subprocess.run(
            [str(python), "-m", "benchmarks", "sdk", "--rounds", rounds, "--json", str(found), "--command", command],
            check=True,
            cwd=ROOT,
            env={"PYTHONPATH": f"{ours}:{ROOT}", "PATH": "/usr/local/bin:/usr/bin:/bin"},
        )
        return msgspec.json.decode(found.read_bytes(), type=Sdk)
