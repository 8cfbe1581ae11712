"""LangChain, LlamaIndex and LiteLLM, as their users call them, against a real gateway.

They live in an environment of their own: their dependencies are many and contradict ours.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

_HERE = Path(__file__).parent
_UV = str(Path(sys.executable).with_name("uv"))


@pytest.fixture(scope="session")
def frameworks() -> Path:
    """The Python of an environment with the frameworks, made once per set of versions and kept."""
    wanted = (_HERE / "requirements.txt").read_bytes()
    folder = Path(tempfile.gettempdir()) / f"trimtab-clients-{hashlib.sha256(wanted).hexdigest()[:12]}"
    if not (folder / "whole").exists():
        fresh = Path(tempfile.mkdtemp(dir=folder.parent))
        made = subprocess.run(
            [_UV, "venv", "--quiet", "--python", sys.executable, str(fresh / "env")], capture_output=True
        )
        python = fresh / "env" / "bin" / "python"
        command = [_UV, "pip", "install", "--quiet", "--python", str(python), "-r", str(_HERE / "requirements.txt")]
        installed = subprocess.run(command, capture_output=True, text=True)
        if made.returncode or installed.returncode:
            shutil.rmtree(fresh)
            pytest.skip(f"the frameworks could not be installed, so they are not tried: {installed.stderr[-300:]}")
        (fresh / "whole").touch()
        if not folder.exists():  # another worker may have been quicker
            fresh.rename(folder)
    return folder / "env" / "bin" / "python"


@pytest.mark.parametrize(
    ("name", "format"),
    [
        ("langchain_openai", "chat"),
        ("langchain_responses", "responses"),
        ("langchain_anthropic", "messages"),
        ("llama_index", "chat"),
        ("litellm_openai", "chat"),
        ("litellm_anthropic", "messages"),
    ],
)
def test_the_framework_works_unchanged(
    frameworks: Path,
    stack: Callable[..., Any],
    release: Callable[..., Any],
    name: str,
    format: str,  # noqa: A002 - the field's word
) -> None:
    here = stack(release(parameters={"seed": 1}))
    ran = subprocess.run(
        [frameworks, _HERE / "frameworks.py", name, here.base_url], capture_output=True, text=True, timeout=90
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    seen = json.loads(ran.stdout.strip().splitlines()[-1])
    assert json.loads(seen["text"])["order_id"] == "A-1007"
    assert seen["streamed"] == seen["text"]
    assert seen["tokens"] > 0
    assert seen.get("tool", "find_order") == "find_order"
    events = here.generations(3 if "tool" in seen else 2)
    assert {event.format for event in events} == {format}
    assert {event.status for event in events} == {"ok"}
    assert events[0].output == seen["text"]
    assert events[0].variables == {"shop": "Acme"}
    if "tool" in seen:
        assert events[2].tool_calls[0]["function"]["name"] == "find_order"
