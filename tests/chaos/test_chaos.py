"""Chaos in small; `just chaos` does the same at length."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.chaos.play import play
from tests.chaos.shipping import BAD, GOOD
from tests.chaos.stage import Play

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.slow
def test_whatever_is_killed_nothing_acknowledged_is_lost_and_rollouts_end_as_they_must(tmp_path: Path) -> None:
    plan = Play(
        kills=12, seed=7, mean_seconds=0.3, longest_freeze_seconds=2.0, workers=2, servers=1, writers=2, rate=60.0
    )
    report = play(tmp_path, plan)
    assert report.problems == []
    assert sum(report.kills.values()) == 12
    assert report.answers > 50
    assert report.signals > 0
    assert report.recorded > 500
    assert {one.feature for one in report.rollouts} == {GOOD, BAD}
