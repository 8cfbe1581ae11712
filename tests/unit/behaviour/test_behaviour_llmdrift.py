"""Against real generations: GPT-4 and GPT-3.5, March and June 2023, on five tasks (arXiv 2307.09009)."""

from __future__ import annotations

from functools import cache

import pytest
from benchmarks.behaviour import llmdrift
from benchmarks.behaviour.null import flags_by_chance, replayed_by_chance

from trimtab.behaviour import BehaviourDiff, adapt, diff
from trimtab.behaviour.reading import parses_as_python

pytestmark = pytest.mark.skipif(
    llmdrift.folder() is None, reason="TRIMTAB_DATA does not name the folder with the LLMDrift files"
)
every_pair = pytest.mark.parametrize(("task", "family"), list(llmdrift.PUBLISHED))


@cache
def found(task: str, family: str) -> BehaviourDiff:
    return diff(llmdrift.pairs(task, family))


@every_pair
def test_published_figures_are_reproduced(task: str, family: str) -> None:
    flips = found(task, family).flips
    assert flips is not None
    measured = (100.0 * flips.right_before / flips.pairs, 100.0 * flips.right_after / flips.pairs)
    assert measured == pytest.approx(llmdrift.PUBLISHED[task, family], abs=0.05)


@every_pair
def test_every_upgrade_is_flagged_without_configuration_or_scores(task: str, family: str) -> None:
    flags = {one.detector for one in found(task, family).flags}
    assert flags - {"answer.right"}
    operations = {one.detector for one in found(task, family).flags if one.severity == "operations"}
    assert flags - operations - {"answer.right"}  # what the answers say or look like, not only what they cost
    assert found(task, family).alarm.raised


@pytest.mark.parametrize("task", ["sensitive", "code"])
@pytest.mark.parametrize("family", list(llmdrift.FAMILIES))
def test_nothing_is_flagged_when_labels_are_swapped_at_random(task: str, family: str) -> None:
    runs = list(flags_by_chance(llmdrift.pairs(task, family), runs=150, seed=7))
    assert sum(1 for flags, alarm in runs if flags or alarm) <= 2


def test_nothing_is_flagged_when_old_new_and_replay_are_dealt_out_at_random() -> None:
    later = {pair.item: pair.new for pair in llmdrift.pairs("code", "gpt-3.5")}
    triples = [(pair.old, pair.new, later[pair.item]) for pair in llmdrift.pairs("code", "gpt-4")]
    assert sum(replayed_by_chance(triples, runs=25, seed=5)) <= 1


def test_the_code_fence_is_to_blame_for_code_that_does_not_run_and_its_adapter_restores_it() -> None:
    [cause] = found("code", "gpt-4").causes
    assert cause.detector == "code.parses"
    assert cause.cause.startswith("the code fence")
    assert (cause.lost, cause.explained, cause.broken) == (40, 40, 0)
    assert dict(cause.parts)["the code fence"] == 37
    assert (cause.before, cause.after) == (0.12, 1.0)
    mended = [adapt(pair, cause.steps) for pair in llmdrift.pairs("code", "gpt-4")]
    assert sum(parses_as_python(pair.new.text) for pair in mended) == 50
    assert not {one.detector for one in diff(mended).flags if one.severity == "breaks" and not one.better}
    [cause] = found("code", "gpt-3.5").causes
    assert (cause.cause, cause.lost, cause.explained, cause.after) == ("the code fence", 18, 18, 0.98)


def test_an_improvement_that_hides_flips_is_told() -> None:
    flips = found("primes", "gpt-3.5").flips
    assert flips is not None
    assert flips.gain == pytest.approx(0.266)
    assert flips.negative_share == pytest.approx(0.153)
    assert flips.hidden


def test_refusals_are_calibrated_for_each_model() -> None:
    refusals = found("sensitive", "gpt-4").refusals
    assert refusals is not None
    assert refusals.old.found == pytest.approx(0.77, abs=0.01)  # GPT-4 of March lectures where June's says it cannot
    assert refusals.new.found == pytest.approx(0.95, abs=0.01)
    assert refusals.old.corrected == pytest.approx(0.79)
    assert refusals.new.corrected == pytest.approx(0.95)
