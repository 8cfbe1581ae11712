"""The console's pages: what a reader needs is there, and nothing that a model or a person wrote runs in a browser."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from html import unescape
from typing import TYPE_CHECKING, Any

import pytest

from trimtab.core.ids import new_id
from trimtab.events import Generation, encode_event
from trimtab.serving.journal import JournalWriter

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    Site = Any  # the fixture's class lives in conftest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SCRIPT = "<script>alert(1)</script><img src=x onerror=alert(2)>"


def text_of(html: str) -> str:
    """What a reader sees."""
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]*>", " ", html)))


def record_both_sides(site: Site, rollout: str) -> None:
    """A request that stable answered and the candidate too, in shadow, both with hostile content."""
    now_ms = time.time_ns() // 1_000_000
    user = new_id("gen", now_ms)
    journal = JournalWriter(site.directory.journals / "p2")
    for identifier, arm, mirrors in ((user, "matched_control", ""), (new_id("gen", now_ms), "shadow", user)):
        event = Generation(
            id=identifier,
            at_ms=now_ms,
            feature="support-reply",
            environment="production",
            release="sha256:0",
            arm=arm,  # type: ignore[arg-type]
            unit=SCRIPT,
            rollout=rollout,
            stage=0,
            messages=[{"role": "user", "content": f"asked {SCRIPT}"}],
            output=f"said by {arm} {SCRIPT}",
            mirrors=mirrors,
        )
        journal.append(encode_event(event), now_ms)
    journal.close()


@pytest.fixture(scope="module")
def rollout(site: Site) -> Iterator[str]:
    body = f'{{"feature": "support-reply", "candidate": "#2", "reason": "{SCRIPT}"}}'
    answer = site.post("/api/v1/rollouts", body)
    assert answer.status == 201, answer.text
    # paused, so that the hostile reason stays in force while the pages are read
    deadline = time.monotonic() + 20
    while site.post(f"/api/v1/rollouts/{answer.json['id']}/pause", f'{{"reason": "{SCRIPT}"}}').status != 200:
        assert time.monotonic() < deadline, "the controller never took the rollout in hand"
        time.sleep(0.1)
    record_both_sides(site, answer.json["id"])
    yield answer.json["id"]
    site.post(f"/api/v1/rollouts/{answer.json['id']}/abort", "{}")


def pages(site: Site, rollout: str) -> dict[str, str]:
    paths = ["/", "/rollouts", f"/rollouts/{rollout}", f"/trace/{site.generation}", "/audit"]
    answers = {path: site.get(path) for path in paths}
    assert {answer.status for answer in answers.values()} == {200}
    assert {answer.headers["content-type"] for answer in answers.values()} == {"text/html; charset=utf-8"}
    return {path: answer.text for path, answer in answers.items()}


def test_every_page_says_where_the_reader_is_and_leads_to_the_others(site: Site, rollout: str) -> None:
    for html in pages(site, rollout).values():
        assert re.search(r"<title>[^<]+ · Trimtab</title>", html)
        assert "environment production" in text_of(html)
        assert {"/", "/rollouts", "/audit"} <= set(re.findall(r'href="([^"]+)"', html))


def test_the_first_page_tells_which_version_is_running(site: Site, rollout: str) -> None:
    shown = text_of(site.get("/").text)
    assert "support-reply team support" in shown
    assert "stable support-reply#1" in shown
    assert "support-reply#1 stable 42 100%" in shown
    assert "4711" in shown


def test_the_list_of_rollouts_leads_to_the_rollout(site: Site, rollout: str) -> None:
    html = site.get("/rollouts").text
    assert f'href="/rollouts/{rollout}"' in html
    assert "#1 → #2" in text_of(html)


def test_a_rollout_shows_its_steps_its_evidence_its_change_and_its_history(site: Site, rollout: str) -> None:
    shown = text_of(site.get(f"/rollouts/{rollout}").text)
    for told in (
        "support-reply #1 → #2",
        "shadow 5 % for 8s",
        "bake for 8s",
        "prompt.messages[0].content",
        "validating",
    ):
        assert told in shown
    assert "ada" in shown


def test_a_rollout_shows_examples_of_both_sides_one_beside_the_other(site: Site, rollout: str) -> None:
    html = site.get(f"/rollouts/{rollout}").text
    shown = text_of(html)
    assert "said by shadow" in shown
    assert "said by matched_control" in shown
    assert "same request" in shown
    assert len(re.findall(r'<div class="pair">', html)) == 1
    assert "is paused by ada since" in shown
    (pair,) = site.get(f"/api/v1/rollouts/{rollout}").json["examples"]["pairs"]
    for example in pair.values():
        assert f'href="/trace/{example["id"]}"' in html


def test_an_attempt_is_found_by_feature_and_number_and_refused_where_it_is_none(site: Site, rollout: str) -> None:
    report = site.get("/api/v1/rollouts/support-reply").json
    again = site.get(f"/api/v1/rollouts/support-reply?attempt={report['attempt']}").json
    assert again["rollout"]["id"] == rollout
    assert site.get("/api/v1/rollouts/support-reply?attempt=999").status == 404
    assert site.get("/api/v1/rollouts/support-reply?attempt=-1").json["error"]["code"] == "invalid_attempt"


def test_a_trace_shows_release_prompt_answer_metrics_and_feedback(site: Site) -> None:
    shown = text_of(site.get(f"/trace/{site.generation}").text)
    for told in ("support-reply#1", "12.5 ms", "schema bad built-in", "thumb 1.0 user feedback"):
        assert told in shown


def test_the_audit_page_says_that_the_chain_is_whole_newest_first(site: Site, rollout: str) -> None:
    shown = text_of(site.get("/audit").text)
    assert "The hash chain is whole" in shown
    assert shown.index("rollout.start") < shown.index("feature.create")


def test_nothing_anybody_wrote_becomes_markup(site: Site, rollout: str) -> None:
    found = pages(site, rollout)
    for path, html in found.items():
        assert "alert(1)</script>" not in html, path
        assert "<img" not in html, path
        scripts = re.findall(r"<script[^>]*>", html)
        assert all(tag == '<script src="/static/console.js" defer>' for tag in scripts), path
    for path in ("/", "/rollouts", f"/rollouts/{rollout}", f"/trace/{site.generation}"):
        assert SCRIPT in unescape(found[path]), f"{path} does not show the text, so its escaping is not tested"


@pytest.mark.parametrize(
    ("path", "status", "told"),
    [
        ("/trace/gen_123", 400, "is not a Trimtab id"),
        ("/trace/%3Cscript%3Ealert(1)%3C%2Fscript%3E", 400, "is not a Trimtab id"),
        ("/rollouts/ro_none", 404, "there is no rollout `ro_none`"),
        ("/rollouts/%3Cscript%3Ealert(1)", 404, "there is no rollout"),
    ],
)
def test_an_error_is_a_page_that_says_what_is_wrong(site: Site, path: str, status: int, told: str) -> None:
    answer = site.get(path)
    assert answer.status == status
    assert told in text_of(answer.text)
    assert "<script>" not in answer.text
    assert "environment production" in text_of(answer.text)


def test_searching_leads_to_the_trace_and_nowhere_else(site: Site) -> None:
    answer = site.get(f"/trace?id=%20{site.generation}%20")
    assert answer.headers["location"] == f"/trace/{site.generation}"
    hostile = site.get("/trace?id=//evil.example/x")
    assert hostile.headers["location"] == "/trace/%2F%2Fevil.example%2Fx"
    nothing = site.get(site.get("/trace").headers["location"])
    assert nothing.status == 400
    assert "is not a Trimtab id" in text_of(nothing.text)


def test_pages_need_nothing_from_elsewhere(site: Site, rollout: str) -> None:
    html = "".join(pages(site, rollout).values())
    for reference in re.findall(r'(?:src|href|action)="([^"]*)"', html):
        assert reference.startswith(("/", "data:,")), reference
        assert not reference.startswith("//")
    for asset, kind in (("/static/console.css", "text/css"), ("/static/console.js", "javascript")):
        answer = site.get(asset)
        assert answer.status == 200
        assert kind in answer.headers["content-type"]
        assert not re.search(r"https?://", answer.text)


def browse(url: str, profile: Path) -> str:
    """The document after the browser ran what it runs."""
    assert CHROMIUM is not None
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
    quiet = ["--disable-background-networking", "--disable-component-update", f"--user-data-dir={profile}"]
    done = subprocess.run([CHROMIUM, *flags, *quiet, "--dump-dom", url], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on the path: the console was not opened in a browser")
def test_a_browser_shows_the_releases(site: Site, rollout: str, tmp_path: Path) -> None:
    first = browse(f"http://127.0.0.1:{site.port}/", tmp_path / "first")
    assert "support-reply#1" in text_of(first)
    page = browse(f"http://127.0.0.1:{site.port}/rollouts/{rollout}", tmp_path / "second")
    assert "support-reply #1 → #2" in text_of(page)
    assert "<img" not in first + page  # nothing hostile became an element when the browser parsed it
