from __future__ import annotations

import re
from pathlib import Path

import msgspec

from trimtab.sim.behaviour import ChatRequest, answer
from trimtab.sim.config import Latency, Rule, load_sim_config

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "simulator.md"


def test_the_example_of_the_reference_page_works(tmp_path: Path) -> None:
    found = re.search(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert found is not None
    (tmp_path / "sim.yaml").write_text(found[1])
    config = load_sim_config(tmp_path / "sim.yaml")
    assert config.rules[0].latency == Latency(median_ms=40, p95_ms=120)
    request = ChatRequest(
        model="m",
        messages=[{"role": "system", "content": "Verdict?"}, {"role": "user", "content": "order Z-99"}],
    )
    said = msgspec.json.decode(answer(config, request).text)
    assert said["verdict"] in {"late", "lost"}
    assert said["order"] == "Z-99"


def test_every_key_of_a_rule_stands_on_the_reference_page() -> None:
    text = PAGE.read_text()
    assert [name for name in Rule.__struct_encode_fields__ if name not in text] == []
