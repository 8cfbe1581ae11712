"""The gateway of the tests beside these, models called by any API behind it, and what npm's clients need."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from tests.integration.gateway.conftest import release, stack

from trimtab.artifacts.model import PromptContent
from trimtab.releases.model import wire_of
from trimtab.sim.config import Rule, SimConfig

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["release", "stack"]

_replace = msgspec.structs.replace
_NPM = Path(__file__).parent / "npm"


@pytest.fixture(params=["chat", "responses", "messages"])
def here(request: pytest.FixtureRequest, stack: Callable[..., Any], release: Callable[..., Any]) -> Any:
    """A gateway whose model calls a tool where it has one and answers once it has the result, called by each API in
    turn: what speaks Responses and Messages is a second gateway, before the same simulator."""
    sim = SimConfig(rules=[Rule(name="calls", tool_call_rate=1.0)], chunk_gap_ms=1)
    search = release(feature="search", system="", model="text-embedding-3-small", parameters={"dimensions": 64})
    if request.param == "chat":
        return stack(release(), search, sim=sim)
    bare = release(feature="model", parameters={"seed": 1})
    bare = _replace(bare, prompt=PromptContent(messages=[], variables={}))
    behind = stack(bare, sim=sim, drain_idle_seconds=0.1)
    called = _replace(release().model, provider="behind", model="model", api=request.param)
    outer = _replace(release(), model=called, wire=wire_of(called))
    return stack(outer, search, providers={"behind": behind.base_url})


@pytest.fixture(scope="session")
def npm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scripts of `npm` with their dependencies beside them, which are installed once per lock file and kept."""
    if shutil.which("npm") is None or shutil.which("node") is None:
        pytest.skip("npm is not installed: its clients are not tried")
    lock = (_NPM / "package-lock.json").read_bytes()
    kept = Path(tempfile.gettempdir()) / f"trimtab-npm-{hashlib.sha256(lock).hexdigest()[:12]}"
    if not kept.exists():
        fresh = Path(tempfile.mkdtemp(dir=kept.parent))
        for name in ("package.json", "package-lock.json"):
            shutil.copy(_NPM / name, fresh)
        command = ["npm", "ci", "--no-audit", "--no-fund", "--prefer-offline"]
        installed = subprocess.run(command, cwd=fresh, capture_output=True, text=True, check=False)
        if installed.returncode != 0:
            shutil.rmtree(fresh)
            pytest.skip(f"npm could not install its clients, so they are not tried: {installed.stderr[-300:]}")
        try:
            fresh.rename(kept)
        except OSError:  # another worker was quicker
            shutil.rmtree(fresh)
    folder = tmp_path_factory.mktemp("npm")
    for script in _NPM.glob("*.mjs"):
        shutil.copy(script, folder)
    (folder / "node_modules").symlink_to(kept / "node_modules")
    return folder


@pytest.fixture
def node(npm: Path) -> Callable[..., dict[str, Any]]:
    """Runs a script of `npm` with arguments, and returns what it says it saw."""

    def run(script: str, *arguments: str) -> dict[str, Any]:
        command = ["node", str(npm / script), *arguments]
        ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert ran.returncode == 0, ran.stderr[-3000:]
        seen: dict[str, Any] = json.loads(ran.stdout)
        return seen

    return run
