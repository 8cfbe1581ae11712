"""`trimtab rehearse` as people have it: five answers, the same as data, a picture, and clear words where it cannot."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest

from trimtab.sdk.client import Trimtab as Sdk

if TYPE_CHECKING:
    from collections.abc import Callable

    Trimtab = Callable[..., subprocess.CompletedProcess[str]]

PLAN = """\
window: 1m
metrics:
  - {name: error, margin: 0.05}
  - {name: format, margin: 0.05}
  - {name: latency, margin: 0.2}
steps:
  - setWeight: 20
  - pause: {duration: 10m, minUnits: 30}
  - setWeight: 50
  - analysis: {mode: noHarm, minUnits: 100, maxDuration: 6h}
  - bake: {duration: 10m}
"""
QUESTIONS = ["How long until", "How many users", "false alarm", "How likely is promotion", "too weak"]
SOME = ("--traffic", "10000/day", "--runs", "10")


@pytest.fixture(scope="module")
def plan(shop: Path) -> Path:
    (shop / "plan").mkdir()
    (shop / "plan/rollout.yaml").write_text(PLAN)
    return shop / "plan"


@pytest.fixture(scope="module")
def told(trimtab: Trimtab, plan: Path) -> Any:
    done = trimtab("rehearse", "plan", *SOME, "--fault", "parse:40%", "--json", "--svg", "plan/picture.svg")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_it_answers_five_questions_in_their_order_in_less_than_a_screen(trimtab: Trimtab, plan: Path) -> None:
    done = trimtab("rehearse", "plan", *SOME, "--fault", "parse:40%", "--fault", "slow:3x")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert len(lines) < 40
    at = [next(number for number, line in enumerate(lines) if question in line) for question in QUESTIONS]
    assert at == sorted(at)
    assert "`format` falls from 99 % good to 59.4 %" in done.stdout
    assert "`latency` grows by 200 %" in done.stdout


def test_the_same_facts_are_data(told: Any) -> None:
    assert told["users"] == 10_000
    assert told["faulty"]["rolled_back"]["share"] == 1.0
    assert set(told["faulty"]["blamed"]) == {"format"}
    assert told["faulty"]["seconds_to_rollback"]["median"] > 600
    assert told["healthy"]["rolled_back"]["high"] <= 0.3
    assert [metric["name"] for metric in told["metrics"]] == ["error", "format", "latency"]


def test_the_picture_is_whole_and_nothing_is_left_beside_it(told: Any, plan: Path) -> None:
    ET.parse(plan / "picture.svg")
    assert sorted(path.name for path in plan.iterdir()) == ["picture.svg", "rollout.yaml"]


def test_the_same_seed_gives_the_same_document_whatever_hash_seed_python_draws(
    trimtab: Trimtab, plan: Path, told: Any
) -> None:
    again = trimtab("rehearse", "plan", *SOME, "--fault", "parse:40%", "--json", PYTHONHASHSEED="7")
    assert json.loads(again.stdout) == told


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["missing.yaml", *SOME], ["missing.yaml", "No such file"]),
        (["plan"], ["--traffic 10000/day", "--like"]),
        (["plan", "--traffic", "10000"], ["10000/day"]),
        (["plan", "--traffic", "0/day"], ["nobody comes"]),
        (["plan", *SOME, "--fault", "toxicity:3%"], ["`toxicity`", "error, format, latency"]),
        (["plan", *SOME, "--fault", "error:3"], ["error:3%"]),
        (["plan", *SOME, "--fault", "error:3%", "--fault", "error:4%"], ["2 faults of `error`"]),
        (["plan", *SOME, "--svg", "nowhere/p.svg"], ["nowhere/p.svg", "No such file"]),
        (["plan", "--like", "support-reply"], ["support-reply", "leave --like out"]),
        (["plan", *SOME, "--runs", "1"], ["--runs"]),
        (["plan", *SOME, "--users", "1"], ["--users"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_is_wrong_is_said_before_anything_is_done(
    trimtab: Trimtab, plan: Path, arguments: list[str], said: list[str]
) -> None:
    before = sorted(plan.parent.rglob("*.svg"))
    done = trimtab("rehearse", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert all(words in done.stderr for words in said), done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(plan.parent.rglob("*.svg")) == before


def test_everything_wrong_with_a_plan_is_told_at_once(trimtab: Trimtab, shop: Path) -> None:
    (shop / "bad.yaml").write_text("alpha: 3\nsteps:\n  - setWeigt: 5\n  - pause: {duration: 10}\n")
    done = trimtab("rehearse", "bad.yaml", *SOME)
    assert (done.returncode, done.stdout) == (2, "")
    assert [f"bad.yaml:{line}" in done.stderr for line in (1, 3, 4)] == [True, True, True]


def test_an_interrupt_ends_it_and_its_processes_and_writes_nothing(plan: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "trimtab", "rehearse", "rollout.yaml", "--traffic", "1m/day", "--svg", "cut.svg"],
        cwd=plan,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        text=True,
    )
    while len(_group(process.pid)) < 2 and process.poll() is None:  # until it works on several cores
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    output, errors = process.communicate(timeout=30)
    assert process.returncode != 0
    assert output == ""
    assert "Traceback" not in errors
    for _ in range(200):
        if not _group(process.pid):
            break
        time.sleep(0.05)
    assert _group(process.pid) == []
    assert not (plan / "cut.svg").exists()


def _group(leader: int) -> list[int]:
    """Processes of a session that still run."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, _, group = (folder / "stat").read_text().rpartition(")")[2].split()[:3]
        except OSError:  # it has just ended
            continue
        if group == str(leader) and state != "Z":
            found.append(int(folder.name))
    return found


def test_users_are_as_they_were_recorded_by_the_data_plane(trimtab: Trimtab, shop: Path, plan: Path) -> None:
    assert trimtab("init", "support-reply").returncode == 0
    assert trimtab("push", "support-reply").returncode == 0
    assert trimtab("environment", "set", "support-reply", "#1", "--reason", "first").returncode == 0
    with Sdk(directory=shop / ".trimtab", environment="production") as tt:
        for index in range(240):
            status: Literal["ok", "error"] = "error" if index % 4 == 0 else "ok"
            tt.record(tt.resolve("support-reply", unit=f"user-{index % 80}"), output="{}", status=status)
        tt.record(tt.resolve("support-reply"), output="{}")  # nobody's: no rollout would meet it
    done = trimtab("rehearse", "plan", "--like", "support-reply", "--traffic", "20k/day", "--runs", "10", "--json")
    assert done.returncode == 0, done.stderr
    assert "as 80 users of support-reply in 240 recorded calls" in done.stderr
    healthy = {metric["name"]: metric["healthy"] for metric in json.loads(done.stdout)["metrics"]}
    assert healthy["error"] == "75 % good (80 recorded users)"
