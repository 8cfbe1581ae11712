"""One feature from `init` to `promote`: every command's exit status, what is data on stdout, what is prose on stderr.

The tests of this file share one data directory and run in order: each begins where the one before it ended.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from trimtab.core.ids import id_time_ms, new_id
from trimtab.events import Generation, encode_event
from trimtab.serving.journal import JournalWriter

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    Trimtab = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def data(trimtab: Trimtab) -> Callable[..., Any]:
    """Runs a command with `--json` and returns its document; stderr must be empty or prose."""

    def run(*arguments: str, status: int = 0) -> Any:
        done = trimtab(*arguments, "--json")
        assert done.returncode == status, done.stderr
        assert done.stderr == ""
        return json.loads(done.stdout)

    return run


def test_init_lists_what_it_wrote_and_says_what_comes_next(trimtab: Trimtab, shop: Path) -> None:
    done = trimtab("init", "support-reply")
    assert done.returncode == 0
    written = done.stdout.split()
    assert "support-reply/feature.yaml" in written
    assert all((shop / name).is_file() for name in written)
    assert done.stderr == "next: trimtab push support-reply\n"


def test_init_never_writes_over_a_folder(trimtab: Trimtab, shop: Path) -> None:
    before = (shop / "support-reply/feature.yaml").read_bytes()
    done = trimtab("init", "support-reply")
    assert (done.returncode, done.stdout) == (2, "")
    assert "nothing was written" in done.stderr
    assert (shop / "support-reply/feature.yaml").read_bytes() == before


def test_push_prints_a_line_for_every_artifact(trimtab: Trimtab) -> None:
    done = trimtab("push", "support-reply", "--message", "First version")
    assert done.returncode == 0
    rows = [line.split()[:3] for line in done.stdout.splitlines()]
    assert ["new", "prompt", "support-reply@v1"] in rows
    assert ["new", "partial", "tone@v1"] in rows
    assert ["new", "plan", "rollout@v1"] in rows
    assert rows[-1] == ["new", "release", "support-reply#1"]
    assert done.stderr == "next: trimtab environment set support-reply '#1'\n"


def test_environment_set_points_and_history_tells_who_and_why(trimtab: Trimtab, data: Callable[..., Any]) -> None:
    move = data("environment", "set", "support-reply", "#1", "--reason", "first release")
    assert (move["from_release"], move["actor"], move["reason"]) == (None, "ada", "first release")
    (moved,) = data("environment", "history", "support-reply")
    assert moved == move
    done = trimtab("environment", "history", "support-reply")
    assert "first release" in done.stdout
    assert "#1" in done.stdout


def test_a_holdout_is_set_for_the_environment_or_a_feature_and_listed(
    trimtab: Trimtab, data: Callable[..., Any]
) -> None:
    made = data("environment", "holdout", "2.5", "--reason", "yearly")
    assert (made["feature"], made["percent"], made["set_by"]) == ("", 2.5, "ada")
    own = trimtab("environment", "holdout", "1", "--feature", "support-reply", "--reason", "own")
    assert own.stdout == "1 % of support-reply in production, from the next rollout on\n"
    assert [one["feature"] for one in data("environment", "holdout")] == ["", "support-reply"]
    assert "(all)" in trimtab("environment", "holdout").stdout
    assert "--reason is needed" in trimtab("environment", "holdout", "3").stderr
    for feature in ("", "support-reply"):
        data("environment", "holdout", "0", "--feature", feature, "--reason", "over")
    assert data("environment", "layers") == []


def test_a_change_of_three_words_is_a_new_release_with_its_diff(
    shop: Path, trimtab: Trimtab, data: Callable[..., Any]
) -> None:
    tone = shop / "support-reply/partials/tone.md"
    tone.write_text(tone.read_text().replace("Be brief, warm", "Be warm, chatty"))
    pushed = data("push", "support-reply", "-m", "Chattier")
    assert (pushed["release"], pushed["created"]) == ("support-reply#2", True)
    assert [change["path"] for change in pushed["changes"]] == ["prompt.messages[0].content"]
    assert data("release", "diff", "support-reply", "#1", "#2") == pushed["changes"]
    done = trimtab("release", "diff", "support-reply", "#2", pushed["digest"][:20])
    assert (done.returncode, done.stdout) == (0, "no difference in behaviour\n")


def test_release_list_and_show_agree(trimtab: Trimtab, data: Callable[..., Any]) -> None:
    second, first = data("release", "list", "support-reply")
    assert [(one["number"], one["message"]) for one in (second, first)] == [(2, "Chattier"), (1, "First version")]
    assert data("release", "show", "support-reply", "#1") == first
    shown = trimtab("release", "show", "support-reply", first["digest"][:16])
    assert shown.returncode == 0
    assert shown.stdout.startswith(f"support-reply#1  {first['digest']}\n")
    assert "Be brief, warm and exact." in shown.stdout  # the partial is inlined: this is what is served
    assert "openai/gpt-4o-mini-2024-07-18" in shown.stdout


def test_running_tells_the_declaration_in_words_and_as_data(trimtab: Trimtab, data: Callable[..., Any]) -> None:
    (feature,) = data("running", "support-reply")["features"]
    assert (feature["feature"], feature["stable"], feature["seen"]) == ("support-reply", "support-reply#1", [])
    done = trimtab("running")
    assert done.returncode == 0
    assert done.stderr == ""
    assert "declared  stable support-reply#1" in done.stdout
    assert "observed  no traffic in the last 5 min" in done.stdout


def test_rollout_start_prints_the_id_alone(trimtab: Trimtab, data: Callable[..., Any]) -> None:
    done = trimtab("rollout", "start", "support-reply", "#2", "--reason", "Chattier")
    assert done.returncode == 0
    assert done.stdout.startswith("ro_")
    assert len(done.stdout.split()) == 1
    assert "trimtab rollout explain support-reply" in done.stderr
    (summary,) = data("rollout", "list", "support-reply")
    assert summary["rollout"]["id"] == done.stdout.strip()
    assert (summary["stable"], summary["candidate"]) == ("support-reply#1", "support-reply#2")
    report = data("rollout", "explain", summary["rollout"]["id"])
    assert [step["status"] for step in report["steps"]] == ["next"] * 7
    assert report["rollout"]["reason"] == "Chattier"


def test_a_second_rollout_is_refused_unless_it_supersedes(trimtab: Trimtab, data: Callable[..., Any]) -> None:
    done = trimtab("rollout", "start", "support-reply", "#2")
    assert (done.returncode, done.stdout) == (2, "")
    assert "--supersede" in done.stderr
    second = data("rollout", "start", "support-reply", "#2", "--supersede", "--reason", "anew")
    states = [one["rollout"]["state"] for one in data("rollout", "list")]
    assert (second["state"], states) == ("validating", ["validating", "superseded"])


def test_a_rollout_that_was_rolled_back_is_told_with_status_1(trimtab: Trimtab, data: Callable[..., Any]) -> None:
    aborted = data("rollout", "abort", "support-reply", "--reason", "second thoughts")
    assert aborted["state"] == "rolling_back"
    done = trimtab("rollout", "explain", "support-reply")
    assert done.returncode == 1
    assert done.stderr == ""
    assert "support-reply#1 -> support-reply#2 in production: rolling_back" in done.stdout
    assert "`support-reply#2` is being rolled back by ada" in done.stdout
    assert "second thoughts" in done.stdout
    assert "No generation of either arm is recorded" in done.stdout


def test_an_earlier_attempt_stays_explainable(trimtab: Trimtab, data: Callable[..., Any]) -> None:
    first = data("rollout", "explain", "support-reply", "--attempt", "1")
    assert (first["attempt"], first["attempts"], first["rollout"]["state"]) == (1, 2, "superseded")
    assert "was superseded by ada on" in first["paragraph"]
    assert set(first["examples"]) >= {"metric", "phase", "pairs", "looked_at", "complete", "note"}
    missing = trimtab("rollout", "explain", "support-reply", "--attempt", "3")
    assert (missing.returncode, missing.stdout) == (2, "")
    assert "has 2 attempts" in missing.stderr


def test_a_rollout_that_ends_cannot_be_steered(trimtab: Trimtab) -> None:
    done = trimtab("rollout", "resume", "support-reply", "--reason", "once more")
    assert (done.returncode, done.stdout) == (2, "")
    assert "cannot resume" in done.stderr


def test_a_key_is_shown_once_and_its_secret_is_nowhere_on_disk(
    trimtab: Trimtab, data: Callable[..., Any], shop: Path
) -> None:
    done = trimtab("key", "create", "support")
    secret = done.stdout.strip()
    assert done.returncode == 0
    assert len(secret.split()) == 1
    assert "never shown again" in done.stderr
    assert secret not in done.stderr
    (key,) = data("key", "list")
    assert (key["team"], key["created_by"], key["revoked_at_ms"]) == ("support", "ada", None)
    files = [path for path in (shop / ".trimtab").rglob("*") if path.is_file()]
    assert files
    assert not any(secret.encode() in path.read_bytes() for path in files)
    assert trimtab("key", "revoke", key["id"]).returncode == 0
    assert "revoked" in trimtab("key", "list").stdout


def test_key_create_as_data_holds_the_secret(data: Callable[..., Any]) -> None:
    created = data("key", "create", "search")
    assert set(created) == {"id", "team", "role", "secret"}
    assert created["secret"]


def test_trace_tells_what_a_request_met(trimtab: Trimtab, data: Callable[..., Any], shop: Path) -> None:
    digest = data("release", "show", "support-reply", "#1")["digest"]
    now_ms = 1_760_000_000_000
    call = Generation(
        id=new_id("gen", now_ms),
        at_ms=now_ms,
        feature="support-reply",
        environment="production",
        release=digest,
        release_number=1,
        unit="grace",
        requested_model="gpt-4o-mini-2024-07-18",
        served_model="gpt-4o-mini-2024-07-18",
        messages=[{"role": "system", "content": "You answer customers of Acme."}],
        output="It is on its way.",
    )
    journal = JournalWriter(shop / ".trimtab" / "journal" / "p1")
    journal.append(encode_event(call), id_time_ms(call.id))
    journal.close()
    done = trimtab("trace", call.id)
    assert done.returncode == 0
    assert done.stderr == ""
    for told in ("support-reply#1", "grace", "You answer customers of Acme.", "It is on its way.", "schema BAD"):
        assert told in done.stdout
    report = data("trace", call.id)
    assert (report["generation"]["id"], report["measures"]["schema"]) == (call.id, 0.0)


def test_audit_lists_who_did_what_and_verifies(trimtab: Trimtab, data: Callable[..., Any]) -> None:
    (last,) = data("audit", "list", "--last", "1")
    assert (last["action"], last["actor"]) == ("key.create", "ada")
    lines = trimtab("audit", "list").stdout.splitlines()
    assert lines[0].split() == ["#", "when", "(UTC)", "who", "what", "subject", "digest"]
    assert len(lines) == last["sequence"] + 1
    verified = data("audit", "verify")
    assert verified == {"entries": last["sequence"], "head": last["digest"], "broken": ""}


def test_another_environment_serves_nothing_of_this_one(trimtab: Trimtab) -> None:
    done = trimtab("--environment", "staging", "running", "support-reply")
    assert (done.returncode, done.stdout) == (2, "")
    assert "`staging` serves no feature `support-reply`" in done.stderr
    everything = trimtab("running", TRIMTAB_ENVIRONMENT="staging")
    assert everything.stdout.startswith("staging, snapshot 0, nothing published yet\n")
