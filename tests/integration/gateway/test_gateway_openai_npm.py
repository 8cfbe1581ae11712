"""The stock `openai` npm client against the gateway."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from trimtab.sim.config import SimConfig

if TYPE_CHECKING:
    from collections.abc import Callable

_NPM = Path(__file__).parents[1] / "npm"


@pytest.fixture(scope="session")
def npm_client() -> Path:
    """The client's script with its dependencies beside it, installed once per version and kept."""
    if shutil.which("npm") is None or shutil.which("node") is None:
        pytest.skip("npm is not installed: the openai npm client is not tried")
    manifest = (_NPM / "package.json").read_bytes()
    folder = Path(tempfile.gettempdir()) / f"trimtab-npm-{hashlib.sha256(manifest).hexdigest()[:12]}"
    if not (folder / "node_modules" / "openai").exists():
        fresh = Path(tempfile.mkdtemp(dir=folder.parent))
        (fresh / "package.json").write_bytes(manifest)
        command = ["npm", "install", "--no-audit", "--no-fund", "--prefer-offline"]
        installed = subprocess.run(command, cwd=fresh, capture_output=True, text=True, check=False)
        if installed.returncode != 0:
            shutil.rmtree(fresh)
            pytest.skip(f"npm could not install the openai client, so it is not tried: {installed.stderr[-300:]}")
        if not folder.exists():  # another worker may have been quicker
            fresh.rename(folder)
    shutil.copy(_NPM / "client.mjs", folder / "client.mjs")
    return folder / "client.mjs"


def test_the_npm_client_works_unchanged(
    npm_client: Path, stack: Callable[..., Any], release: Callable[..., Any]
) -> None:
    search = release(feature="search", system="", model="text-embedding-3-small", parameters={"dimensions": 64})
    here = stack(release(), search, sim=SimConfig(chunk_gap_ms=2))
    ran = subprocess.run(
        ["node", str(npm_client), here.base_url], capture_output=True, text=True, check=False, timeout=30
    )
    assert ran.returncode == 0, ran.stderr
    seen = json.loads(ran.stdout)
    assert json.loads(seen["answer"])["order_id"] == "A-1007"
    assert seen["streamed"] == seen["assembled"] == seen["answer"]
    assert (seen["release"], seen["usage"] > 0) == ("support-reply#1", True)
    assert seen["models"] == ["search", "support-reply"]
    assert seen["dimensions"] == [64, 64]
    assert seen["pinned"] == ["BadRequestError", 400, "pinned_field", "temperature"]
    assert seen["unknown"] == ["NotFoundError", 404, "model_not_found", "model"]
    assert seen["aborted"]
    recorded = {event.id: event for event in here.generations(6)}
    assert recorded[seen["generation"]].output == seen["answer"]
    assert sorted(event.status for event in recorded.values()) == ["aborted", "error", "ok", "ok", "ok", "ok"]
