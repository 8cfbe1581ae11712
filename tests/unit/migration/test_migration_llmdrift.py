"""What GPT-4 really did between March and June 2023: a migration finds the code fence, and its release takes it off."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

import msgspec
import pytest
from benchmarks.behaviour import llmdrift
from tests.unit.migration.driving import acknowledged, fork
from tests.unit.migration.world import NEW, OLD, World, source

from trimtab.artifacts.output_steps import apply_output_adapters
from trimtab.evals.answers import Answer
from trimtab.events import Generation

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(
    llmdrift.folder() is None, reason="TRIMTAB_DATA does not name the folder with the LLMDrift files"
)


class Recorded(World):
    """One feature that writes code; both models say what they said in 2023."""

    def __init__(self, folder: Path) -> None:
        self.pairs = {pair.item: pair for pair in llmdrift.pairs("code", "gpt-4")}
        super().__init__(folder, features=["code"])
        plain = source("code", text="Write code.", temperature=0.1)
        without = [named for named in plain.artifacts if named.kind != "schema"]
        self.releases["code"] = self.push(msgspec.structs.replace(plain, artifacts=without))
        self.point("code", self.releases["code"])
        self.models = {
            OLD.model: lambda question, _: Answer(output=self.pairs[question].old.text),
            NEW.model: lambda question, _: Answer(output=self.pairs[question].new.text),
        }

    def calls(self, environment: str, release: str, span: tuple[int, int], *, limit: int) -> Iterator[Generation]:
        for number, item in enumerate(self.pairs):
            yield Generation(
                id=f"gen_{number}",
                at_ms=number,
                feature="code",
                environment=environment,
                release=release,
                variables={"q": item},
                messages=[{"role": "system", "content": "s"}, {"role": "user", "content": item}],
            )


def parses(text: str) -> bool:
    try:
        ast.parse(text)
    except (SyntaxError, ValueError):
        return False
    return bool(text.strip())


def test_the_code_fence_is_named_and_the_candidate_s_adapter_restores_parsing(tmp_path: Path) -> None:
    world = Recorded(tmp_path)
    plan = world.engine.run(world.start().id)
    plan = world.engine.run(acknowledged(world, plan).id)
    with world.store.read() as tx:
        diffed = tx.migration_artifact(plan.id, fork(plan, "code").passed["diff"].artifact)
        candidate = tx.release(fork(plan, "code").candidate)
    assert diffed is not None
    assert any("code fence" in one and "adapter" in one for one in diffed.content["words"])
    assert candidate is not None
    assert candidate.compiled.adapter is not None
    steps = candidate.compiled.adapter.output
    new = [pair.new.text for pair in world.pairs.values()]
    before = sum(map(parses, new)) / len(new)
    after = sum(parses(apply_output_adapters(text, steps)) for text in new) / len(new)
    assert (round(before, 2), after) == (0.12, 1.0)
