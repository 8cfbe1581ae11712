"""Limits over a sliding window, shared by processes through a file. Several meters on one file stand for processes."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.core.errors import InputError
from trimtab.serving.limits import TeamLimits, TeamMeter
from trimtab.serving.team_limit import TeamLimit
from trimtab.serving.usage_file import SLOTS, UsageFile

if TYPE_CHECKING:
    from collections.abc import Iterator

NOON = 20_000 * 86_400_000 + 43_200_000
MINUTE = 60_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "usage" / "support.usage"


def meter(path: Path, **limits: float) -> TeamMeter:
    return TeamMeter("support", TeamLimit(**limits), path)  # type: ignore[arg-type]


def admitted(one: TeamMeter, now_ms: int) -> bool:
    return one.admit(now_ms) is None


def test_so_many_a_minute_and_no_more_until_the_window_has_moved(path: Path) -> None:
    one = meter(path, requests_per_minute=10)
    assert [admitted(one, NOON) for _ in range(12)] == [True] * 10 + [False] * 2
    refused = one.admit(NOON + 30_000)
    assert refused is not None
    assert (refused.code, refused.retry_after_seconds) == ("rate_limit_exceeded", 31)
    # 15 s into the next minute a quarter of the last one has left the window.
    assert sum(admitted(one, NOON + MINUTE + 15_000) for _ in range(12)) == 2
    assert sum(admitted(one, NOON + 3 * MINUTE) for _ in range(12)) == 10


def test_money_is_refused_once_it_is_spent_until_the_day_ends(path: Path) -> None:
    one = meter(path, usd_per_day=1.0)
    assert admitted(one, NOON)
    one.release(999_999)
    assert admitted(one, NOON)
    one.release(2)
    refused = one.admit(NOON)
    assert refused is not None
    assert (refused.code, refused.retry_after_seconds) == ("insufficient_quota", 43_201)
    assert admitted(one, NOON + 43_200_000)


def test_so_many_at_once_and_room_again_when_one_has_ended(path: Path) -> None:
    one = meter(path, concurrent=2)
    assert [admitted(one, NOON) for _ in range(3)] == [True, True, False]
    one.release(0)
    assert admitted(one, NOON)


def test_what_others_did_counts_within_twenty_milliseconds(path: Path) -> None:
    one, other = meter(path, requests_per_minute=10), meter(path, requests_per_minute=10)
    assert admitted(other, NOON)
    assert sum(admitted(one, NOON) for _ in range(12)) == 9
    assert not admitted(other, NOON + 20)


def test_money_survives_the_process_and_what_it_had_in_flight_does_not(path: Path) -> None:
    one = meter(path, usd_per_day=1.0, concurrent=1)
    assert admitted(one, NOON)
    one.release(400_000)
    assert admitted(one, NOON)
    one.close()
    again = meter(path, usd_per_day=1.0, concurrent=1)
    assert again.spent_usd(NOON) == pytest.approx(0.4)
    assert admitted(again, NOON + 6_000)


def test_a_killed_process_keeps_its_money_and_gives_back_its_slot(path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from trimtab.serving.limits import TeamMeter\n"
        "from trimtab.serving.team_limit import TeamLimit\n"
        "m = TeamMeter('support', TeamLimit(usd_per_day=1.0, concurrent=1), Path(sys.argv[1]))\n"
        f"m.admit({NOON}); m.release(300000); m.admit({NOON}); print('ready', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        one = meter(path, usd_per_day=1.0, concurrent=1)
        refused = one.admit(NOON + 1)
        assert refused is not None
        assert refused.code == "too_many_concurrent"
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert admitted(one, NOON + 6_000)  # its heartbeat has stopped
    assert one.spent_usd(NOON + 6_000) == pytest.approx(0.3)
    heir = meter(path, usd_per_day=1.0)  # takes the first free slot: that of the dead
    heir.release(100_000)
    assert one.spent_usd(NOON + 6_000) == pytest.approx(0.4)


def test_a_file_that_cannot_be_made_is_said_and_limits_hold_in_the_process(tmp_path: Path) -> None:
    (tmp_path / "usage").write_text("in the way")
    one = meter(tmp_path / "usage" / "support.usage", requests_per_minute=2)
    assert "held by each process alone" in one.problem
    assert [admitted(one, NOON) for _ in range(3)] == [True, True, False]


def test_more_processes_than_slots_are_told(path: Path) -> None:
    taken = [UsageFile(path) for _ in range(SLOTS)]
    assert "slots are taken" in meter(path, concurrent=1).problem
    for one in taken:
        one.close()
    assert meter(path, concurrent=1).problem == ""


def test_a_clock_set_back_neither_blocks_for_long_nor_forgets_the_money(path: Path) -> None:
    one = meter(path, requests_per_minute=2, usd_per_day=1.0)
    assert [admitted(one, NOON) for _ in range(3)] == [True, True, False]
    one.release(600_000)
    assert not admitted(one, NOON - 1_000)
    assert admitted(one, NOON - 3_600_000)
    assert one.spent_usd(NOON - 3_600_000) == pytest.approx(0.6)


def test_teams_without_limits_cost_nothing_and_a_star_stands_for_the_rest(tmp_path: Path) -> None:
    some = TeamLimits({"support": TeamLimit(concurrent=1)}, tmp_path)
    assert some.find("sales") is None
    assert not list(tmp_path.iterdir())
    every = TeamLimits({"*": TeamLimit(concurrent=1), "support": TeamLimit(concurrent=9)}, tmp_path)
    sales, support, nobody = every.find("sales"), every.find("support"), every.find("")
    assert sales is not None
    assert support is not None
    assert nobody is not None
    assert sales is every.find("sales")
    assert [admitted(sales, NOON), admitted(sales, NOON), admitted(nobody, NOON)] == [True, False, True]
    every.close()
    with pytest.raises(InputError, match="cannot name a team"):
        TeamLimits({"../x": TeamLimit()}, tmp_path)


STEPS = st.lists(
    st.tuples(st.integers(0, 2), st.sampled_from([0, 1, 7, 19, 20, 21, 5_000, 30_000, 61_000])), max_size=80
)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as made:
        yield Path(made)


@given(STEPS, st.integers(1, 6))
def test_no_minute_holds_more_than_the_limit_and_what_others_admit_in_twenty_milliseconds(
    folder: Path, steps: list[tuple[int, int]], limit: int
) -> None:
    path = Path(tempfile.mkdtemp(dir=folder)) / "t.usage"
    meters = [meter(path, requests_per_minute=limit) for _ in range(3)]
    now, taken = NOON, list[tuple[int, int]]()
    for who, wait in steps:
        now += wait
        if admitted(meters[who], now):
            taken.append((now, who))
    for one in meters:
        one.close()
    for at, who in taken:
        # The window weighs the last minute as if it were evenly spread; a whole calendar minute is counted exactly.
        minute = at // MINUTE
        before = [t for t, w in taken if t // MINUTE == minute and t <= at and (w == who or t <= at - 20)]
        assert len(before) <= limit


WHAT = st.sampled_from(["admit", "admit", "admit", "end", "other"])
DAY = st.lists(st.tuples(st.integers(-5, 30_000), WHAT, st.integers(0, 90)), max_size=60)


@settings(deadline=None)
@given(steps=DAY)
def test_counting_down_between_two_looks_admits_what_looking_each_time_would(steps: list[tuple[int, str, int]]) -> None:
    limit = TeamLimit(requests_per_minute=7, usd_per_day=0.0003, concurrent=4)
    with tempfile.TemporaryDirectory() as folder:
        made = [[TeamMeter("support", limit, Path(folder) / f"{one}.usage") for _ in range(2)] for one in range(2)]
        (counting, another), (looking, yet_another) = made
        now, flying = NOON, 0
        for later, what, micro_usd in steps:
            now += later if later > 300 else later // 30
            if what == "admit":
                looking._places = 0
                expected = looking.admit(now)
                assert counting.admit(now) == expected
                flying += expected is None
            elif what == "end" and flying:
                flying -= 1
                counting.release(micro_usd)
                looking.release(micro_usd)
            elif what == "other":
                another.admit(now)
                yet_another.admit(now)
        for one in (*made[0], *made[1]):
            one.close()
