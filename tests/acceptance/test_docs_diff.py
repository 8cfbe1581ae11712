"""The page on model swaps, as a reader follows it: Python and commands run, and print what it shows."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "see-what-a-model-swap-changes.md"


def test_the_page_does_what_it_says(tmp_path: Path) -> None:
    ran = []
    for kind, block in re.findall(r"```(python|console)\n(.*?)```", PAGE.read_text(), re.DOTALL):
        if kind == "python":
            done = subprocess.run(
                [sys.executable, "-c", block], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
            )
            assert done.returncode == 0, done.stderr
            continue
        command, *shown = block.splitlines()
        done = subprocess.run(
            [sys.executable, "-m", "trimtab", *command.removeprefix("$ trimtab ").split()],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        printed = [" ".join(line.split()) for line in done.stdout.splitlines()]
        for line in shown:
            wanted = " ".join(line.split())
            assert wanted == "..." or any(found.startswith(wanted) for found in printed), done.stdout
        ran.append(command)
    assert ran
    assert "Proposed adapter" in (tmp_path / "diff.md").read_text()
