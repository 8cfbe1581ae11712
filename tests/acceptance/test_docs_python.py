"""Python on pages that no other test runs: each block as it stands, in an empty folder with what the page tells of."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
PROMPTFOO = """\
prompts:
  - {label: support, raw: "Answer {{question}}"}
  - {label: sales, raw: "Sell {{product}}"}
providers: ["openai:gpt-4o", "openai:gpt-4o-mini"]
"""


PAGES = ["reference/assignment.md", "how-to/import-prompts.md", "how-to/tell-people-and-ask-gates.md"]


@pytest.mark.parametrize("page", PAGES)
def test_the_pages_python_runs(page: str, tmp_path: Path) -> None:
    (tmp_path / "promptfooconfig.yaml").write_text(PROMPTFOO)
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)
    assert blocks
    for block in blocks:
        done = subprocess.run([sys.executable, "-c", block], cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
