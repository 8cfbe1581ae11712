"""Python on pages that no other test runs: each block as it stands, in an empty folder with what the page tells of."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from trimtab.core.clock import SystemClock
from trimtab.core.ids import new_id
from trimtab.events import Generation, encode_event
from trimtab.evidence.compactor import Compactor
from trimtab.evidence.objects import open_objects
from trimtab.serving.directory import DataDirectory
from trimtab.serving.journal import JournalWriter

DOCS = Path(__file__).parents[2] / "docs"
PROMPTFOO = """\
prompts:
  - {label: support, raw: "Answer {{question}}"}
  - {label: sales, raw: "Sell {{product}}"}
providers: ["openai:gpt-4o", "openai:gpt-4o-mini"]
"""


PAGES = [
    "reference/assignment.md",
    "how-to/import-prompts.md",
    "how-to/tell-people-and-ask-gates.md",
    "reference/evidence.md",
]


@pytest.mark.parametrize("page", PAGES)
def test_the_pages_python_runs(page: str, tmp_path: Path) -> None:
    (tmp_path / "promptfooconfig.yaml").write_text(PROMPTFOO)
    _record(tmp_path / ".trimtab")
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)
    assert blocks
    for block in blocks:
        done = subprocess.run([sys.executable, "-c", block], cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr


def _record(root: Path) -> None:
    """A data directory in which something was recorded, and moved into files."""
    directory, clock = DataDirectory(root), SystemClock()
    writer = JournalWriter(directory.journals / "sdk-1")
    now_ms = clock.now_ms()
    call = Generation(id=new_id("gen", now_ms), at_ms=now_ms, feature="f", environment="production", release="r")
    writer.append(encode_event(call), now_ms)
    writer.close()
    with Compactor.open(open_objects(str(root / "evidence")), directory, clock) as compactor:
        compactor.run()
