from __future__ import annotations

import math
import os
from pathlib import Path

import pytest

from trimtab.core.errors import NotFoundError, SourceError
from trimtab.sim.config import Latency, load_sim_config
from trimtab.sim.embedding import embed
from trimtab.sim.replay import ReplayColumns, ReplaySource

RULES = """
seed: 7
chunkGapMs: 2
rules:
  - name: warm
    when: {systemContains: warm and friendly}
    preambleRate: 0.3
    drawBy: user
    latency: {medianMs: 20, p95Ms: 60}
"""


def test_a_file_is_read_in_yaml_or_json(tmp_path: Path) -> None:
    (tmp_path / "sim.yaml").write_text(RULES)
    (tmp_path / "sim.json").write_text('{"seed": 7, "rules": [{"name": "r", "answer": {"a": "b"}}]}')
    config = load_sim_config(tmp_path / "sim.yaml")
    assert (config.seed, config.chunk_gap_ms) == (7, 2)
    assert config.rules[0].latency == Latency(median_ms=20, p95_ms=60)
    assert load_sim_config(tmp_path / "sim.json").rules[0].answer == {"a": "b"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rules: [{name: r, fenceRat: 1}]", "fenceRat"),
        ("rules: [{name: r, fenceRate: 1.5}]", "fenceRate"),
        ("rules: [{name: r, invalidJsonRate: -1}]", "invalidJsonRate"),
        ("rules: [{name: 3}]", "name"),
        ("a: [1,\nb: 2", "sim.yaml:2"),
    ],
)
def test_a_wrong_file_is_refused_with_the_field_or_line(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "sim.yaml").write_text(text)
    with pytest.raises(SourceError, match=said) as raised:
        load_sim_config(tmp_path / "sim.yaml")
    assert "sim.yaml" in str(raised.value)


def test_a_rule_without_a_name_is_called_by_its_place(tmp_path: Path) -> None:
    (tmp_path / "sim.json").write_text('{"rules": [{"when": {"userContains": "x"}}, {}]}')
    assert [rule.name for rule in load_sim_config(tmp_path / "sim.json").rules] == ["rule-1", "rule-2"]


def test_a_missing_or_binary_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="cannot read"):
        load_sim_config(tmp_path / "none.yaml")
    (tmp_path / "sim.yaml").write_bytes(b"seed: \xff")
    with pytest.raises(SourceError, match="byte 6"):
        load_sim_config(tmp_path / "sim.yaml")


def recording(path: Path) -> Path:
    long = "x" * 200_000
    path.write_text(
        "model,query,answer,latency,cost\n"
        'openaichat/gpt-4-0314,"Is 7 prime?\n",[Yes],1.5,0.01\n'
        f'openaichat/gpt-4-0613,Is 7 prime?,"{long}",0.5,0.02\n'
        "openaichat/gpt-4-0613,Is 9 prime?,[Yes],0.5,\n"
        "openaichat/gpt-4-0613,Is 9 prime?,[No],0.7,\n"
    )
    return path


def test_a_recording_answers_by_model_and_question(tmp_path: Path) -> None:
    source = ReplaySource.from_file(recording(tmp_path / "r.csv"), ReplayColumns(cost="cost"))
    found = source.find("gpt-4-0314", "Is 7 prime?")
    assert (found.answer, found.latency_seconds, found.cost_usd) == ("[Yes]", 1.5, 0.01)
    assert source.find("openaichat/gpt-4-0314", " Is 7 prime? ") == found
    assert len(source.find("gpt-4-0613", "Is 7 prime?").answer) == 200_000
    assert len(source) == 4


def test_a_question_recorded_twice_is_answered_by_user_and_always_the_same(tmp_path: Path) -> None:
    source = ReplaySource.from_file(recording(tmp_path / "r.csv"))
    given = {unit: source.find("gpt-4-0613", "Is 9 prime?", unit=unit).answer for unit in map(str, range(30))}
    assert set(given.values()) == {"[Yes]", "[No]"}
    assert all(source.find("gpt-4-0613", "Is 9 prime?", unit=unit).answer == said for unit, said in given.items())


def test_a_miss_says_what_was_missed(tmp_path: Path) -> None:
    source = ReplaySource.from_file(recording(tmp_path / "r.csv"))
    with pytest.raises(NotFoundError, match="never asked this") as miss:
        source.find("gpt-4-0314", "Is 11 prime?")
    assert miss.value.param == "messages"
    with pytest.raises(NotFoundError, match="gpt-4-0315") as miss:
        source.find("gpt-4-0315", "Is 7 prime?")
    assert "gpt-4-0314" in str(miss.value.hint)


def test_jsonl_and_other_column_names(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text('{"m": "a", "q": "hi", "o": "hello", "t": 0.25}\n\n{"m": "a", "q": "bye", "o": "so long"}\n')
    source = ReplaySource.from_file(path, ReplayColumns(model="m", query="q", answer="o", latency="t"))
    assert source.find("a", "hi").latency_seconds == 0.25
    assert source.find("a", "bye").answer == "so long"


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("r.csv", "model,query\na,b\n", "answer"),
        ("r.csv", "model,query,answer,latency\na,b,c,fast\n", "latency"),
        ("r.csv", "model,query,answer\n", "no recorded generation"),
        ("r.jsonl", '{"model": "a"\n', "r.jsonl:1"),
        ("none.csv", "", "cannot read"),
    ],
)
def test_a_wrong_recording_is_refused(tmp_path: Path, name: str, text: str, said: str) -> None:
    if text:
        (tmp_path / name).write_text(text)
    with pytest.raises(SourceError, match=said):
        ReplaySource.from_file(tmp_path / name)


def test_llmdrift_is_read_whole() -> None:
    data = os.environ.get("TRIMTAB_DATA")
    if not data:
        pytest.skip("TRIMTAB_DATA does not name the folder with the LLMDrift files")
    source = ReplaySource.from_file(Path(data) / "llmdrift" / "PRIME_FULL_EVAL.csv", ReplayColumns(cost="cost"))
    assert len(source) == 4000
    question = 'Is 17077 a prime number? Think step by step and then answer "[Yes]" or "[No]".'
    assert source.find("gpt-3.5-turbo-0301", question).latency_seconds == pytest.approx(4.2916, abs=1e-3)


def test_embeddings_are_unit_vectors_near_for_texts_that_share_words() -> None:
    one, near, far = (
        embed(text, model="e", dimensions=256)
        for text in ("where is my parcel", "where is my parcel now", "reset the password")
    )
    assert math.isclose(sum(value * value for value in one), 1.0, rel_tol=1e-9)

    def dot(a: list[float], b: list[float]) -> float:
        return sum(x * y for x, y in zip(a, b, strict=True))

    assert dot(one, near) > 0.7
    assert dot(one, far) < 0.4
    assert embed("", model="e", dimensions=8) == embed("", model="e", dimensions=8)
    assert dot(one, embed("where is my parcel", model="other", dimensions=256)) < 0.4
