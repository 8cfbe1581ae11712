from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    Trimtab = Callable[..., subprocess.CompletedProcess[str]]


def write(path: Path, *texts: str) -> None:
    path.write_text("".join(json.dumps({"item": number, "text": text}) + "\n" for number, text in enumerate(texts)))


def test_two_files_of_outputs_are_compared(trimtab: Trimtab, shop: Path) -> None:
    orders = [json.dumps({"order": number}) for number in range(40)]
    write(shop / "march.jsonl", *orders)
    write(shop / "june.jsonl", *(f"```json\n{order}\n```" for order in orders[:39]))
    same = trimtab("diff", "march.jsonl", "march.jsonl", "--fail-on", "any")
    assert same.returncode == 0
    assert same.stdout.startswith("40 items compared, march with march: no change found")
    done = trimtab("diff", "march.jsonl", "june.jsonl", "--fail-on", "breaks", "--markdown", "d.md", "--html", "d.html")
    assert done.returncode == 1
    assert "The code fence explains 39 of 39 lost answers (`json.parses`)" in done.stdout
    assert "left out: 1 item only OLD has, 0 only NEW has" in done.stderr
    assert "### Proposed adapter" in (shop / "d.md").read_text()
    assert (shop / "d.html").read_text().startswith("<!doctype html>")
    write(shop / "few.jsonl", *(f"```json\n{order}\n```" for order in orders[:5]))
    few = trimtab("diff", "march.jsonl", "few.jsonl", "--fail-on", "breaks")
    assert (few.returncode, "5 items cannot pass: in fewer than 8" in few.stderr) == (1, True)
    shown = trimtab("diff", "march.jsonl", "march.jsonl", "--margin", "0.07")
    assert shown.returncode == 0
    assert "What programs read is worse in at most 6.3 % of the answers (95 %; `" in shown.stdout
    short = trimtab("diff", "march.jsonl", "march.jsonl", "--margin", "0.05")
    assert (short.returncode, "not shown to be within 5 %: what programs read" in short.stderr) == (1, True)
    assert trimtab("diff", "march.jsonl", "march.jsonl", "--margin", "5").returncode == 2
    found = json.loads(trimtab("diff", "march.jsonl", "june.jsonl", "--json").stdout)
    assert found["causes"][0]["steps"] == ["strip_code_fence"]
    assert found["findings"][0]["flagged"] is True


def test_a_features_schema_tools_and_parser_are_asked(trimtab: Trimtab, shop: Path) -> None:
    assert trimtab("init", "support-reply").returncode == 0
    (shop / "reading.py").write_text("def read(text):\n    assert text.startswith('{')\n")
    write(shop / "old.jsonl", *['{"a": 1}'] * 30)
    write(shop / "new.jsonl", *["a: 1"] * 30)
    asked = ("--feature", "support-reply", "--parser", "reading:read", "--again", "old.jsonl")
    done = trimtab("diff", "old.jsonl", "new.jsonl", *asked)
    assert done.returncode == 0, done.stderr
    assert "parser.reads" in done.stdout
    assert "same.text" in done.stdout


def test_what_cannot_be_read_is_named(trimtab: Trimtab, shop: Path) -> None:
    (shop / "bad.jsonl").write_text('{"item": 1, "text": "a"}\nnonsense\n')
    (shop / "other.jsonl").write_text('{"item": 2, "text": "a"}\n')
    bad = trimtab("diff", "bad.jsonl", "other.jsonl")
    assert (bad.returncode, "bad.jsonl:2" in bad.stderr) == (2, True)
    apart = trimtab("diff", "other.jsonl", "other.jsonl", "--again", "missing.jsonl")
    assert (apart.returncode, "missing.jsonl" in apart.stderr) == (2, True)
    (shop / "third.jsonl").write_text('{"item": 3, "text": "a"}\n')
    none = trimtab("diff", "other.jsonl", "third.jsonl")
    assert (none.returncode, "--match prompt" in none.stderr) == (2, True)
