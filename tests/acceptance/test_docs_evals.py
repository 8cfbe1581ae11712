"""The pages on offline evals: the how-to typed as it stands, and every key named on the reference."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from trimtab.evals.datasets.records import RESERVED
from trimtab.evals.scoring import SCORER_TYPES
from trimtab.evals.scoring.promptfoo_asserts import MAPPED_ASSERTIONS
from trimtab.evals.suite import GateSpec, Rule, suite_json_schema

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCS = Path(__file__).parents[2] / "docs"
REFERENCE = (DOCS / "reference" / "evals.md").read_text()


def steps(text: str) -> list[tuple[str, list[str]]]:
    """Every command with the lines shown under it; lines that begin with `> ` go on with it."""
    found: list[tuple[str, list[str]]] = []
    for language, block in re.findall(r"```(console|python)\n(.*?)```", text, re.DOTALL):
        if language == "python":
            found.append((f"python - <<'EOF'\n{block}EOF", []))
            continue
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append((line[2:], []))
            elif line.startswith("> "):
                found[-1] = (f"{found[-1][0]}\n{line[2:]}", found[-1][1])
            else:
                found[-1][1].append(line)
    return found


@pytest.fixture
def upstreams() -> Iterator[list[subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []
    yield started
    for process in started:
        process.terminate()
        process.wait()
        assert process.stderr is not None
        process.stderr.close()


def test_the_how_to_does_what_it_says(tmp_path: Path, upstreams: list[subprocess.Popen[str]]) -> None:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("TRIMTAB_")}
    environment = inherited | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    commands = steps((DOCS / "how-to" / "evaluate-offline.md").read_text())
    assert len(commands) > 12
    for command, expected in commands:
        if command.endswith("&"):
            upstream = subprocess.Popen(
                ["bash", "-c", f"exec {command[:-1].replace('9100', '0')}"],
                cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True,
            )  # fmt: skip
            upstreams.append(upstream)
            assert upstream.stderr is not None
            url = upstream.stderr.readline().split()[-1]
            settings = tmp_path / "trimtab.toml"
            settings.write_text(settings.read_text().replace("http://127.0.0.1:9100/v1", url))
            continue
        done = subprocess.run(
            ["bash", "-c", command], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        said = " ".join((done.stdout + done.stderr).split())
        for line in expected:
            assert " ".join(line.split()) in said, f"{command}\n{done.stdout}{done.stderr}"
    assert (tmp_path / "gate.md").read_text().startswith("### ❌ Gate failed")
    assert "<svg" in (tmp_path / "gate.html").read_text()


def named() -> set[str]:
    return {word for code in re.findall(r"`([^`]+)`", REFERENCE) for word in re.findall(r"[\w-]+", code)}


@pytest.mark.parametrize("kind", sorted(SCORER_TYPES))
def test_every_scorer_and_its_keys_are_documented(kind: str) -> None:
    assert re.search(rf"^\| [^|]*`{kind}`", REFERENCE, re.MULTILINE), kind
    fields = {field.encode_name for field in msgspec.structs.fields(SCORER_TYPES[kind])}
    assert fields - named() == set()


def test_every_key_of_gates_rules_and_items_is_documented() -> None:
    for part in (GateSpec, Rule):
        assert {field.encode_name for field in msgspec.structs.fields(part)} - named() == set()
    assert RESERVED - named() == set()


def test_every_assertion_that_is_taken_over_is_documented() -> None:
    assert MAPPED_ASSERTIONS - named() == set()


def test_the_schema_knows_what_the_page_knows() -> None:
    kinds = [kind.get("properties", {}) for kind in suite_json_schema()["$defs"].values()]
    assert {properties["type"]["enum"][0] for properties in kinds if "type" in properties} == set(SCORER_TYPES)
