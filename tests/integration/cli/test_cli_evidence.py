"""`trimtab evidence` as users call it: data on stdout, prose on stderr, and the loop of `trimtab server`."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from tests.free_port import free_port
from tests.integration.cli.conftest import run_trimtab

from trimtab.core.ids import new_id
from trimtab.events import Feedback, Generation, encode_event
from trimtab.evidence.objects import LocalObjects
from trimtab.evidence.reader import EvidenceReader
from trimtab.serving.journal import JournalWriter

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Trimtab = Callable[..., subprocess.CompletedProcess[str]]


def record(shop: Path, process: str, count: int) -> list[Generation]:
    writer = JournalWriter(shop / ".trimtab/journal" / process)
    calls = []
    for number in range(count):
        now_ms = time.time_ns() // 1_000_000
        calls.append(
            Generation(
                id=new_id("gen", now_ms),
                at_ms=now_ms,
                feature="support-reply",
                environment="production",
                release="sha256:1",
                release_number=1,
                unit=f"user-{number}",
                status="error" if number == 0 else "ok",
                error_code="upstream_500" if number == 0 else "",
                latency_ms=250.0,
                messages=[{"role": "user", "content": "Where is\nmy order?"}],
                output="" if number == 0 else "On its way.",
            )
        )
        assert writer.append(encode_event(calls[-1]), now_ms)
    said = Feedback(
        id=new_id("fb", calls[1].at_ms),
        at_ms=calls[1].at_ms,
        feature="support-reply",
        environment="production",
        generation=calls[1].id,
        name="thumbs",
        value=0.0,
    )
    assert writer.append(encode_event(said), said.at_ms)
    writer.close()
    return calls


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A working directory for each test: none finds what another moved or erased."""
    folder = tmp_path / "shop"
    folder.mkdir()
    return folder


@pytest.fixture
def trimtab(shop: Path) -> Trimtab:
    """Runs one command in `shop`."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return run_trimtab(shop, *arguments)

    return run


@pytest.fixture
def calls(shop: Path) -> list[Generation]:
    return record(shop, "sdk-1", 5)


def in_files(shop: Path) -> list[str]:
    """Ids of what was moved: in the bytes of a file they are packed, and may be shared with their neighbours'."""
    reader = EvidenceReader(LocalObjects(shop / ".trimtab/evidence"))
    with closing(reader):
        found: list[str] = reader.query("SELECT id FROM generations").column("id").to_pylist()
    return found


def test_questions_are_answered_from_journals_and_then_from_files(trimtab: Trimtab, calls: list[Generation]) -> None:
    asked = ("evidence", "metrics", "--feature", "support-reply", "--json")
    before = trimtab(*asked)
    assert (before.returncode, before.stderr) == (0, "")
    (found,) = json.loads(before.stdout)
    assert (found["release"], found["requests"], found["error_rate"]) == ("support-reply#1", 5, 0.2)
    assert found["feedback"] == {"thumbs": {"mean": 0.0, "generations": 1}}
    moved = trimtab("evidence", "compact")
    assert (moved.returncode, moved.stdout) == (0, "")
    assert moved.stderr.startswith("6 events moved")
    assert trimtab(*asked).stdout == before.stdout


def test_tables_for_people(trimtab: Trimtab, calls: list[Generation]) -> None:
    header, row = trimtab("evidence", "metrics").stdout.splitlines()
    assert header.split() == ["release", "arm", "requests", "errors", "p50", "p95", "cost", "feedback", "and", "scores"]
    assert row.split()[:4] == ["support-reply#1", "stable", "5", "20.00%"]
    assert "support-reply#1" in trimtab("evidence", "trends").stdout
    failing = trimtab("evidence", "failing").stdout
    assert calls[0].id in failing
    assert "Where is my order?" in failing
    assert calls[1].id in trimtab("evidence", "failing", "--by", "thumbs").stdout
    assert trimtab("evidence", "failing", "--by", "stars").stderr == "nothing failed\n"


def test_export_is_json_lines(trimtab: Trimtab, calls: list[Generation]) -> None:
    done = trimtab("evidence", "export", "--status", "ok", "--limit", "2")
    in_order = sorted(calls[1:], key=lambda call: (call.at_ms, call.id))
    assert [json.loads(line)["id"] for line in done.stdout.splitlines()] == [call.id for call in in_order[:2]]
    assert done.stderr == "2 generations\n"


def test_sql_answers_and_refuses_in_words(trimtab: Trimtab, calls: list[Generation]) -> None:
    done = trimtab("evidence", "sql", "SELECT status, count(*) AS n FROM generations GROUP BY 1 ORDER BY 1", "--json")
    assert json.loads(done.stdout) == [{"status": "error", "n": 1}, {"status": "ok", "n": 4}]
    wrong = trimtab("evidence", "sql", "DELETE FROM generations")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "this is not one SELECT" in wrong.stderr
    assert trimtab("evidence", "metrics", "--since", "soon").returncode == 2


def test_a_request_is_traced_when_its_journal_is_gone(trimtab: Trimtab, shop: Path, calls: list[Generation]) -> None:
    assert trimtab("evidence", "compact").returncode == 0
    shutil.rmtree(shop / ".trimtab/journal/sdk-1")
    done = trimtab("trace", calls[1].id, "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["generation"]["output"] == "On its way."
    assert [one["value"] for one in report["feedback"]] == [0.0]


def test_erasing_asks_first_and_then_nothing_is_left(trimtab: Trimtab, shop: Path, calls: list[Generation]) -> None:
    asked = trimtab("evidence", "erase", "user-1")
    assert asked.returncode == 1
    assert trimtab("evidence", "erase", "user-1", "--yes").stderr == "2 events removed\n"
    left = trimtab("evidence", "sql", "SELECT id FROM generations UNION ALL SELECT generation FROM feedback").stdout
    assert calls[1].id not in left
    assert calls[2].id in left


def test_erasing_where_several_machines_keep_evidence_names_the_others(trimtab: Trimtab, tmp_path: Path) -> None:
    shared = tmp_path / "shared.toml"
    shared.write_text(f'[evidence]\nlocation = "{tmp_path}/bucket"\n')
    for machine in ("a", "b"):
        arguments = ("--config", str(shared), "--directory", str(tmp_path / machine), "evidence", "erase", "u", "--yes")
        told = trimtab(*arguments).stderr
        assert "0 events removed" in told
    assert "1 other data directories keep evidence there and do the same" in told
    told = trimtab(
        "--config", str(shared), "--directory", str(tmp_path / "a"), "evidence", "erase", "v", "--yes"
    ).stderr
    assert "1 other" in told
    left = [path.read_text() for path in (tmp_path / "bucket/_erase").rglob("request.json")]
    assert [json.loads(text)["unit"] for text in left] == ["v"]  # all have forgotten "u", and its name is gone


def test_a_writer_that_is_gone_is_retired_and_its_erasures_end(trimtab: Trimtab, tmp_path: Path) -> None:
    shared = tmp_path / "shared.toml"
    shared.write_text(f'[evidence]\nlocation = "{tmp_path}/bucket"\n')

    def on(machine: str, *command: str) -> subprocess.CompletedProcess[str]:
        return trimtab("--config", str(shared), "--directory", str(tmp_path / machine), "evidence", *command)

    on("a", "compact")
    on("b", "compact")
    gone = (tmp_path / "b/compactor.id").read_text()
    on("a", "erase", "u", "--yes")
    assert [one["waits_for"] for one in json.loads(on("a", "erasures", "--json").stdout)] == [[gone]]
    assert {one["name"]: one["owes"] for one in json.loads(on("a", "writers", "--json").stdout)}[gone] == 1
    assert "was heard of" in on("a", "retire", gone).stderr
    told = on("a", "retire", gone, "--silent-for", "0s").stderr
    assert "erasures: 1 wait for it" in told
    assert told.endswith("nothing was changed; to do it, add --yes\n")
    assert gone in on("a", "erasures").stdout
    assert on("a", "retire", gone, "--silent-for", "0s", "--yes").returncode == 0
    on("a", "erase", "v", "--yes")
    assert on("a", "erasures").stderr.startswith("none is open")
    assert gone not in on("a", "writers").stdout
    on("b", "compact")
    assert (tmp_path / "b/compactor.id").read_text().partition("\n")[0] != gone


def test_the_server_moves_journals_into_files(shop: Path) -> None:
    fresh = record(shop, "sdk-1", 3)
    port = free_port()
    (shop / "trimtab.toml").write_text("[evidence]\ncompact_seconds = 0.2\n")
    environ = os.environ | {"PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "trimtab", "server", "--port", str(port)]
    with subprocess.Popen(command, cwd=shop, env=environ, stderr=subprocess.PIPE, text=True) as server:
        try:
            deadline = time.monotonic() + 30
            while fresh[0].id not in in_files(shop):
                assert time.monotonic() < deadline, "nothing was moved"
                time.sleep(0.1)
            refused = subprocess.run(
                [sys.executable, "-m", "trimtab", "evidence", "compact"], cwd=shop, capture_output=True, text=True
            )
            assert refused.returncode == 2
            assert "another process compacts this data directory" in refused.stderr
            erased = subprocess.run(
                [sys.executable, "-m", "trimtab", "evidence", "erase", fresh[2].unit, "--yes"],
                cwd=shop, capture_output=True, text=True, timeout=60,
            )  # fmt: skip
            assert erased.returncode == 0, erased.stderr
            assert erased.stderr.startswith("waiting for the server")
            assert erased.stderr.endswith(" events removed\n")
            left = [sys.executable, "-m", "trimtab", "evidence", "sql", "SELECT id FROM generations"]
            assert fresh[2].id not in subprocess.run(left, cwd=shop, capture_output=True, text=True).stdout
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(20)
