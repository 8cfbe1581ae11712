from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.unit.evals.runs import TRIED, run

from trimtab.core.errors import IntegrityError, SourceError
from trimtab.evals.calibration import Calibration, agreement, calibrate, family_of, held_against
from trimtab.evals.calibration_files import CalibrationFiles
from trimtab.evals.correction import Judgement, corrected_change
from trimtab.evals.judge_rule import judge_refusal
from trimtab.evals.labels import judgements, read_labels

DATA = Path(os.environ.get("TRIMTAB_DATA") or Path(__file__).parents[4] / "shared" / "data") / "pandalm"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="TRIMTAB_DATA does not name the folder with PandaLM's files")
SCALE = {1: 1.0, 2: 0.0, 0: 0.5}
"""PandaLM's verdicts: the first response is better, the second, neither."""


def pandalm() -> tuple[list[dict[str, Any]], dict[str, dict[int, float]]]:
    """The pairs with what three people said, and what two judges said, by pair."""
    pairs = json.loads((DATA / "testset-v1.json").read_text())
    gpt = json.loads((DATA / "gpt-3.5-turbo-testset-v1.json").read_text())
    panda = json.loads((DATA / "pandalm-7b-testset-v1.json").read_text())
    return pairs, {
        "gpt": {one["idx"]: SCALE[int(one["gpt_result"]) if one["gpt_result"] in {"1", "2"} else 0] for one in gpt},
        "panda": {one["idx"]: SCALE[one["pandalm_result"]] for one in panda},
    }


def people(pair: dict[str, Any]) -> list[float | None]:
    return [SCALE[pair[f"annotator{n}"]] for n in (1, 2, 3)]


@needs_data
def test_published_agreements_are_reproduced() -> None:
    """Wang et al., "PandaLM" (ICLR 2024): 66.77 % and 71.07 % of 999; alphas: krippendorff 0.9.0."""
    pairs, judges = pandalm()
    expected = {"gpt": (710, 0.4953260649051747), "panda": (667, 0.43556690279635324)}
    for name, verdicts in judges.items():
        found = agreement(
            name, [Judgement(judge=verdicts[pair["idx"]], people=people(pair)) for pair in pairs], tolerance=0
        )
        agreed, alpha = expected[name]
        assert (found.labelled, found.undecided) == (999, 0)
        assert found.agreement == agreed / 999
        assert found.alpha == pytest.approx(alpha)
        assert found.people_alpha == pytest.approx(0.8642206851960816)
        assert found.alpha_interval is not None
        assert found.alpha_interval.low < alpha < found.alpha_interval.high


@needs_data
def test_agreement_is_told_by_model_and_decides_who_may_gate() -> None:
    pairs, judges = pandalm()
    by_model: dict[str, list[Judgement]] = {}
    for pair in pairs:
        for model in pair["cmp_key"].split("_"):
            by_model.setdefault(model, []).append(Judgement(judge=judges["panda"][pair["idx"]], people=people(pair)))
    families = calibrate(by_model, tolerance=0)
    shares = {model: round(found.agreement or 0, 4) for model, found in families.items()}
    assert shares == {
        "bloom-7b": 0.6757,
        "llama-7b": 0.6746,
        "opt-7b": 0.6425,
        "cerebras-gpt-6.7B": 0.6939,
        "pythia-6.9b": 0.6505,
    }
    known = Calibration(metric="m", scorer="s", judge="j", tolerance=0, at_ms=1, families=families)
    assert judge_refusal(*held_against(known, "bloom-7b", "llama-7b")) == ""
    assert "more than 5 points less" in judge_refusal(*held_against(known, "cerebras-gpt-6.7B", "opt-7b"))
    assert judge_refusal(*held_against(known, "opt-7b", "cerebras-gpt-6.7B")) == ""


@needs_data
def test_a_few_labels_mend_what_a_judge_says_on_average() -> None:
    pairs, judges = pandalm()
    truth = (
        sum(SCALE[max((1, 2, 0), key=[p["annotator1"], p["annotator2"], p["annotator3"]].count)] for p in pairs) / 999
    )
    covered = 0
    for seed in range(12):
        labelled = set(random.Random(seed).sample(range(999), 150))
        judged = [
            Judgement(judge=judges["gpt"][pair["idx"]], people=people(pair) if n in labelled else [])
            for n, pair in enumerate(pairs)
        ]
        found = agreement("gpt", judged, tolerance=0)
        assert found.labelled == 150
        assert found.corrected_interval is not None
        covered += found.corrected_interval.low <= truth <= found.corrected_interval.high
    assert covered >= 10


def test_a_judge_that_likes_one_release_better_is_corrected() -> None:
    """It sees ten points where people see none."""
    draw = random.Random(5)

    def judged(liking: float) -> list[Judgement]:
        found = []
        for n in range(600):
            good = draw.random() < 0.7
            says = float(draw.random() < (0.85 + liking if good else 0.3 + liking))
            found.append(Judgement(judge=says, people=[float(good)] * 3 if n < 150 else []))
        return found

    change = corrected_change(("#1", judged(0.0)), ("#2", judged(0.1)), "nominal")
    assert change is not None
    assert change.judged > 0.05
    assert change.interval.low < 0.0 < change.interval.high
    assert abs(change.corrected) < 0.06
    assert corrected_change(("#1", judged(0.0)), ("#2", [Judgement(judge=1.0)]), "nominal") is None


def test_snapshots_of_a_model_are_one_family() -> None:
    for name in ("openai/gpt-4o-2024-08-06", "openai/gpt-4o-latest", "openai/gpt-4o", "openai/gpt-4o-0513"):
        assert family_of(name) == "openai/gpt-4o"
    assert family_of("anthropic/claude-sonnet-4-20250514") == "anthropic/claude-sonnet-4"
    assert family_of("openai/gpt-4o-mini") != family_of("openai/gpt-4o")


def labelled(agreed: int, not_agreed: int) -> list[Judgement]:
    return [Judgement(judge=1.0, people=[1.0])] * agreed + [Judgement(judge=1.0, people=[0.0])] * not_agreed


def test_a_judge_is_held_against_people_on_the_families_of_two_models() -> None:
    families = calibrate({"a/m": labelled(90, 10), "b/m": labelled(29, 11)}, tolerance=0)
    known = Calibration(metric="m", scorer="s", judge="j", tolerance=0, at_ms=1, families=families)
    old, new = held_against(known, "a/m-2024-01-01", "b/m-latest")
    assert (old.on, old.agreed, old.labels) == ("a/m", 90, 100)
    assert (new.on, new.agreed, new.labels) == ("b/m", 29, 40)
    for nowhere in (held_against(None, "a/m", "a/m"), held_against(known, "c/m", "c/m")):
        assert [one.labels for one in nowhere] == [0, 0]


def test_people_who_do_not_agree_decide_nothing() -> None:
    judged = [
        Judgement(judge=1.0, people=[1.0, 0.0, 0.5]),
        Judgement(judge=1.0, people=[1.0, 1.0, None]),
        Judgement(judge=0.0, people=[1.0, 0.0, 1.0]),
        Judgement(judge=0.0, flip=True),
        Judgement(judge=0.5, flip=False),
    ]
    found = agreement("m", judged, tolerance=0)
    assert (found.labelled, found.undecided, found.agreement, found.answers) == (2, 1, 0.5, 5)
    assert (found.bias, found.flip_rate) == (-0.5, 0.5)


def test_grades_agree_within_half_a_step_of_the_median() -> None:
    judged = [Judgement(judge=0.75, people=[0.5, 0.75, 1.0]), Judgement(judge=0.25, people=[0.5, 0.5])]
    found = agreement("m", judged, tolerance=0.125, level="interval")
    assert (found.labelled, found.agreement) == (2, 0.5)


def test_labels_meet_the_answers_they_are_about() -> None:
    text = (
        '{"item": "i0", "release": "#1", "label": 1, "who": "ada"}\n'
        '{"item": "i0", "release": "#1", "label": 0, "who": "bob"}\n'
        '{"item": "i1", "release": "#1", "label": 1, "who": "bob"}\n'
        '{"item": "i0", "release": "#2", "label": 1, "who": "ada"}\n'
    )
    found = judgements(run({"ok": [1.0, 0.0, 1.0]}), "ok", read_labels(text, "a.jsonl"))
    assert [one.people for one in found] == [[1.0, 0.0], [None, 1.0], []]
    assert TRIED.label == "f#1"
    rows = read_labels("item,release,label,who\ni0,#1,0.5,ada\n", "a.csv")
    assert (rows[0].label, rows[0].who) == (0.5, "ada")
    for bad, said in (
        ('{"item": "i0"}', "missing required field"),
        ("", "no label in it"),
        ("[", "this label is wrong"),
    ):
        with pytest.raises(SourceError, match=said):
            read_labels(bad, "a.jsonl")


def test_calibrations_are_kept_by_judge_and_grow(tmp_path: Path) -> None:
    files = CalibrationFiles(tmp_path)
    first = Calibration(
        metric="m",
        scorer="sha256:s",
        judge="j",
        tolerance=0,
        at_ms=1,
        families=calibrate({"a": labelled(3, 1)}, tolerance=0),
    )
    files.put(first)
    more = msgspec.structs.replace(first, at_ms=2, families=calibrate({"b": labelled(1, 1)}, tolerance=0))
    assert set(files.put(more).families) == {"a", "b"}
    found = files.get("sha256:s")
    assert found is not None
    assert (found.at_ms, found.families["a"]) == (2, first.families["a"])
    assert files.get("sha256:other") is None
    (tmp_path / "s.json").write_text("{")
    with pytest.raises(IntegrityError, match="cannot be read"):
        files.get("sha256:s")
