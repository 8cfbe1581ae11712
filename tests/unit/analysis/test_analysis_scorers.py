from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from trimtab.analysis.model import MetricSpec, ScorerSpec
from trimtab.analysis.scorers import Measurement, ScorerLibrary
from trimtab.core.errors import InputError
from trimtab.events import Generation

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def generation(output: str = "", **fields: Any) -> Generation:
    return Generation(
        id="gen_1", at_ms=0, feature="f", environment="e", release="r", output=output, messages=[{}], **fields
    )


def python(reference: str, **fields: Any) -> MetricSpec:
    return MetricSpec(name="quality", scorer=ScorerSpec(python=reference), **fields)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "house_scorers.py").write_text(
        "def polite(generation):\n    return 'please' in generation.output\n"
        "def broken(generation):\n    raise KeyError('no such order')\n"
        "def wordy(generation):\n    return 'a lot'\n"
        "def nothing(generation):\n    return None\n"
        "def words(generation):\n    return float(len(generation.output.split()))\n"
        "def leaves(generation):\n    raise SystemExit(3)\n"
    )
    (tmp_path / "torn_scorers.py").write_text("def half(:\n")
    yield tmp_path
    sys.modules.pop("house_scorers", None)


def test_a_scorer_never_judges_a_release_by_content_that_we_dropped(folder: Path) -> None:
    [meter] = ScorerLibrary([folder]).meters([python("house_scorers:polite")])
    dropped = msgspec.structs.replace(generation(""), content_dropped="journal_full")
    assert meter.measure(dropped, None) == Measurement(None)


def measure(folder: Path, spec: MetricSpec, output: str) -> Measurement:
    [meter] = ScorerLibrary([folder]).meters([spec])
    return meter.measure(generation(output), None)


def test_a_python_function_on_the_import_path_judges(folder: Path) -> None:
    assert measure(folder, python("house_scorers:polite"), "yes please") == Measurement(1.0)
    assert measure(folder, python("house_scorers:polite"), "no") == Measurement(0.0)
    assert measure(folder, python("house_scorers:nothing"), "no") == Measurement(None)


def test_an_exception_is_noted_and_goes_no_further(folder: Path) -> None:
    assert "no such order" in measure(folder, python("house_scorers:broken"), "x").error


def test_an_exit_is_not_swallowed(folder: Path) -> None:
    with pytest.raises(SystemExit):
        measure(folder, python("house_scorers:leaves"), "x")


def test_a_result_that_is_no_score_is_noted(folder: Path) -> None:
    assert "returned a str" in measure(folder, python("house_scorers:wordy"), "x").error
    assert "not between 0 and 1" in measure(folder, python("house_scorers:words"), "one two three").error
    assert measure(folder, python("house_scorers:words", cap=10), "one two three") == Measurement(3.0)


def test_what_ships_with_trimtab_is_always_importable() -> None:
    [meter] = ScorerLibrary().meters([python("trimtab.analysis.refusal:is_refusal")])
    assert meter.measure(generation("x"), None).error.startswith("TypeError")  # loaded, and called with a generation


@pytest.mark.parametrize(
    ("reference", "code"),
    [
        ("os:getcwd", "scorer_not_found"),
        ("no_such_module:f", "scorer_not_found"),
        ("house_scorers:absent", "scorer_not_found"),
        ("torn_scorers:half", "scorer_not_loaded"),
    ],
)
def test_what_cannot_be_loaded_says_where_it_was_looked_for(folder: Path, reference: str, code: str) -> None:
    with pytest.raises(InputError) as caught:
        ScorerLibrary([folder]).meters([python(reference)])
    assert caught.value.code == code
    assert "quality" in caught.value.message


def test_the_import_path_is_left_as_it_was(folder: Path) -> None:
    before = list(sys.path)
    ScorerLibrary([folder]).meters([python("house_scorers:polite")])
    assert sys.path == before


def test_a_file_may_not_pose_as_a_loaded_module(tmp_path: Path) -> None:
    (tmp_path / "json.py").write_text("def f(generation): return 1\n")
    with pytest.raises(InputError) as caught:
        ScorerLibrary([tmp_path]).meters([python("json:f")])
    assert caught.value.code == "scorer_name_taken"


def rule(**fields: Any) -> MetricSpec:
    return MetricSpec(name="rule", scorer=ScorerSpec(**fields))


@pytest.mark.parametrize(
    ("spec", "output", "expected"),
    [
        (rule(regex=r"\[(Yes|No)\]"), "so [Yes]", 1.0),
        (rule(regex=r"\[(Yes|No)\]"), "so yes", 0.0),
        (rule(regex="```", expect="no_match"), "```", 0.0),
        (rule(regex="^b$"), "a\nb", 1.0),
        (rule(json_schema={"type": "array"}), "[1]", 1.0),
        (rule(json_schema={"type": "array"}), "{}", 0.0),
    ],
)
def test_rules_are_data(spec: MetricSpec, output: str, expected: float) -> None:
    [meter] = ScorerLibrary().meters([spec])
    assert meter.measure(generation(output), None) == Measurement(expected)
    assert meter.measure(generation("", status="error"), None) == Measurement(None)


@pytest.mark.parametrize(
    ("spec", "code"), [(rule(regex="("), "invalid_regex"), (rule(json_schema={"type": 5}), "invalid_json_schema")]
)
def test_rules_that_are_wrong_are_refused(spec: MetricSpec, code: str) -> None:
    with pytest.raises(InputError) as caught:
        ScorerLibrary().meters([spec])
    assert caught.value.code == code


def test_an_aborted_generation_measures_nothing() -> None:
    for meter in ScorerLibrary().meters([MetricSpec(name="error"), rule(regex="x")]):
        assert meter.measure(generation("x", status="aborted"), None) == Measurement(None)


@pytest.mark.parametrize(
    "given",
    [
        {"name": "mine"},
        {"name": "error", "scorer": {"regex": "x"}},
        {"name": "mine", "scorer": {}},
        {"name": "mine", "scorer": {"regex": "x", "python": "a:b"}},
        {"name": "mine", "scorer": {"python": "no_colon"}},
        {"name": "error", "cap": 3},
        {"name": "error", "margin": 0},
        {"name": "error", "margn": 0.1},
    ],
)
def test_a_metric_that_contradicts_itself_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(given, MetricSpec)
