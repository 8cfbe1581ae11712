"""The main job, run as a newcomer runs it, while its processes are killed under it.

Given a demo in full swing, when upstream, gateway and control plane are each killed with SIGKILL, then every answer
that a user got is in a journal exactly once, the rollouts resume and end as they must, and the audit log is whole.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from trimtab.events import Generation
from trimtab.serving.journal_reader import JournalPosition, read_journal, salvage

DATA = Path(os.environ.get("TRIMTAB_DATA", "no recordings"))


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "trimtab", "demo", "--folder", str(folder), "--no-stay", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=folder.parent,
    )


def kill_9(folder: Path, name: str) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        pid = json.loads((folder / "demo.json").read_text())["pids"].get(name)
        if pid:
            os.kill(pid, signal.SIGKILL)
            return
        time.sleep(0.1)
    pytest.fail(f"{name} does not run")


def recorded(journals: Path) -> Counter[str]:
    salvage(journals)
    found: Counter[str] = Counter()
    for folder in journals.iterdir():
        position = JournalPosition()
        while (batch := read_journal(folder, position)).events:
            assert batch.damaged == 0
            found.update(event.id for event in batch.events if isinstance(event, Generation))
            position = batch.position
    return found


@pytest.mark.slow
def test_the_demo_survives_kill_9_of_every_process(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    victims = {"progressing: next: pause for 12s": "server", "shadowing:": "gateway", "baking:": "upstream"}
    lines = []
    killed = []
    with start(folder) as demo:
        assert demo.stdout is not None
        for line in demo.stdout:
            lines.append(line)
            for sign, name in list(victims.items()):
                if sign in line:
                    kill_9(folder, victims.pop(sign))
                    killed.append(name)
    output = "".join(lines)
    assert demo.returncode == 0, output
    assert sorted(killed) == ["gateway", "server", "upstream"]
    for name in killed:
        assert f"{name} died and was started again" in output
    assert "support-reply#2 rolled back, as it must" in output
    assert "support-reply#3 promoted, as it must" in output

    answered = (folder / "answered.txt").read_text().split()
    assert len(answered) > 2000
    found = recorded(folder / ".trimtab" / "journal")
    assert [generation for generation in answered if found[generation] != 1] == []

    def trimtab(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "trimtab", *arguments], cwd=folder, capture_output=True, text=True, timeout=60
        )

    assert "whole:" in trimtab("audit", "verify").stdout
    running = trimtab("running").stdout
    assert "declared  stable support-reply#3" in running
    assert re.search(r"gateway-\d+-\w+ .* no heartbeat|stopped", running)  # the killed one is flagged
    suggested = re.search(r"trimtab trace (gen_\w+)", output)
    assert suggested is not None
    trace = trimtab("trace", suggested[1]).stdout
    assert "release support-reply#2" in trace
    assert "arm     candidate" in trace


@pytest.mark.slow
def test_a_demo_that_was_itself_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    with start(folder) as demo:
        assert demo.stdout is not None
        for line in demo.stdout:
            if "progressing: next: pause for 12s" in line:
                demo.send_signal(signal.SIGKILL)
    resumed = subprocess.run(
        [sys.executable, "-m", "trimtab", "demo", "--folder", str(folder), "--no-stay", "--resume"],
        capture_output=True,
        text=True,
        timeout=200,
        cwd=tmp_path,
    )
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    assert "ships its first version" not in resumed.stdout
    assert "support-reply#2 rolled back, as it must" in resumed.stdout
    assert "support-reply#3 promoted, as it must" in resumed.stdout


@pytest.mark.slow
@pytest.mark.skipif(not (DATA / "llmdrift").exists(), reason="TRIMTAB_DATA does not name a folder with llmdrift")
def test_real_generations_of_2023_roll_one_upgrade_back_and_promote_the_other(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "trimtab", "demo", "--replay", "--no-stay", "--folder", str(tmp_path / "demo")],
        env=os.environ | {"TRIMTAB_DATA": str(DATA.resolve())},
        capture_output=True,
        text=True,
        timeout=280,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "primes-gpt4#2 rolled back, as it must" in done.stdout
    assert "primes-gpt35#2 promoted, as it must" in done.stdout
