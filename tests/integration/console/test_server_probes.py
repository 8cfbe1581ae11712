"""Probes and figures of a real `trimtab server`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from prometheus_client.parser import text_string_to_metric_families

from trimtab.analysis.model import MetricEvidence
from trimtab.analysis.verdict import Verdict
from trimtab.api.condition import ServerCondition
from trimtab.api.metrics import metrics_page
from trimtab.control.loop_watch import LoopWatch
from trimtab.control.vitals import LiveRollout, Vitals
from trimtab.core.clock import FakeClock
from trimtab.core.errors import StorageError
from trimtab.rollout.model import Rollout
from trimtab.rollout.ports import Lease
from trimtab.serving.directory import DataDirectory

if TYPE_CHECKING:
    from pathlib import Path

    Site = Any  # the fixture's class lives in conftest

START = '{"feature": "support-reply", "candidate": "#2", "reason": "over HTTP"}'


def samples(site: Site) -> dict[str, list[tuple[dict[str, str], float]]]:
    answer = site.get("/metrics")
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    for family in text_string_to_metric_families(answer.text):
        for one in family.samples:
            found.setdefault(one.name, []).append((one.labels, one.value))
    return found


def test_the_server_tells_traffic_loops_evidence_and_who_leads(site: Site) -> None:
    deadline = time.monotonic() + 20
    while not {"trimtab_controller_led", "trimtab_evidence_files"} <= (found := samples(site)).keys():
        assert time.monotonic() < deadline, found.keys()
        time.sleep(0.1)
    ((labels, requests),) = found["trimtab_requests_total"]
    assert (labels["release"], labels["status"], requests) == ("support-reply#1", "ok", 1)
    assert found["trimtab_feedback_total"][0][0]["name"] == "thumb"
    loops = {labels["loop"] for labels, at in found["trimtab_loop_success_timestamp_seconds"] if at > 0}
    assert {"controller", "tally"} <= loops
    assert found["trimtab_store_up"] == [({}, 1.0)]
    assert found["trimtab_snapshot_revision"][0][1] >= 1


def test_a_rollout_is_told_with_its_state_and_weights(site: Site) -> None:
    rollout = site.post("/api/v1/rollouts", START).json["id"]
    deadline = time.monotonic() + 20
    try:
        while True:
            found = samples(site)
            states = {labels["state"] for labels, value in found.get("trimtab_rollout_state", []) if value}
            if states == {"shadowing"} and "trimtab_rollout_weight" in found:
                break
            assert time.monotonic() < deadline, states
            time.sleep(0.1)
        told = [labels for labels, _ in found["trimtab_rollout_state"]]
        assert {one["candidate"] for one in told} == {"support-reply#2"}
        weights = {labels["arm"]: value for labels, value in found["trimtab_rollout_weight"]}
        assert weights["candidate"] == 0
        assert weights["shadow"] > 0
    finally:
        site.post(f"/api/v1/rollouts/{rollout}/abort", '{"reason": "end of the test"}')


def test_readiness_says_what_was_looked_at(site: Site) -> None:
    answer = site.get("/readyz")
    assert (answer.status, answer.json["status"]) == (200, "ready")
    checks = answer.json["checks"]
    assert {"store", "controller", "disk", "snapshot", "loop:controller", "loop:evidence"} <= checks.keys()
    assert checks["store"] == {"status": "pass", "told": "answers"}
    assert checks["disk"]["status"] == "pass"


class Away:
    """A control plane whose store does not answer."""

    environment = "production"

    def vitals(self) -> Vitals:
        raise StorageError("unreachable", "the database does not answer")


def condition(root: Path, clock: FakeClock, plane: Any = None) -> tuple[ServerCondition, LoopWatch]:
    watch = LoopWatch(clock)
    return ServerCondition(plane or Away(), DataDirectory(root), clock, watch, lambda: None), watch


def test_a_store_that_does_not_answer_makes_a_server_unready_and_says_why(tmp_path: Path) -> None:
    here, _ = condition(tmp_path, FakeClock())
    checks = here.checks()
    assert (checks["store"].status, checks["store"].told) == ("fail", "unreachable: the database does not answer")
    assert here.vitals() is None


def test_a_loop_that_fails_warns_and_one_that_hangs_is_told_to_be_stuck(tmp_path: Path) -> None:
    clock = FakeClock()
    here, watch = condition(tmp_path, clock)
    watch.began("controller")
    watch.succeeded("controller")
    assert here.checks()["loop:controller"].status == "pass"
    watch.failed("controller", "OSError: no")
    clock.advance(40)
    check = here.checks()["loop:controller"]
    assert (check.status, check.told) == ("warn", "did not do its work for 40 s: OSError: no")
    assert here.stuck() == []
    clock.advance(300)
    assert here.stuck() == ["controller"]
    watch.succeeded("controller")
    assert here.stuck() == []


def test_a_data_directory_that_is_gone_makes_a_server_unready(tmp_path: Path) -> None:
    here, _ = condition(tmp_path / "gone", FakeClock())
    assert here.checks()["disk"].status == "fail"


class Leading(Away):
    """A control plane with one rollout whose evidence is almost enough."""

    def vitals(self) -> Vitals:
        metric = MetricEvidence(
            name="format",
            role="guardrail",
            phase="live",
            margin=0.05,
            candidate_mean=0.5,
            control_mean=0.9,
            candidate_units=40,
            control_units=41,
            pairs=40,
            harm=12.0,
            harm_peak=35.0,
            limit=40.0,
            non_inferior=1.0,
            promotion_limit=20.0,
            failed=False,
            passed=False,
        )
        verdict = Verdict(
            status="inconclusive",
            phase="live",
            reason="not yet",
            metrics=[metric],
            candidate_units=40,
            control_units=41,
        )
        rollout = Rollout(
            id="ro_1",
            feature="reply",
            environment="production",
            stable="sha256:1",
            candidate="sha256:2",
            plan=b"{}",
            salt="s",
            state="progressing",
            created_at_ms=1,
            created_by="ada",
            updated_at_ms=1,
        )
        lease = Lease(name="rollout-controller", holder="node-1", epoch=3, expires_at_ms=1 << 60)
        return Vitals(lease=lease, rollouts=[LiveRollout(rollout=rollout, candidate="reply#2", verdict=verdict)])


def test_the_e_process_of_a_rollout_is_told(tmp_path: Path) -> None:
    here, _ = condition(tmp_path, FakeClock(), Leading())
    found = {
        one.name: (one.labels, one.value)
        for family in text_string_to_metric_families(metrics_page(here).decode())
        for one in family.samples
        if one.value and one.labels.get("arm") != "matched_control"
    }
    labels = {"environment": "production", "feature": "reply", "candidate": "reply#2"}
    about = labels | {"metric": "format", "role": "guardrail", "phase": "live"}
    assert found["trimtab_rollout_harm_wealth"] == (about, 35.0)
    assert found["trimtab_rollout_harm_limit"] == (about, 40.0)
    assert found["trimtab_rollout_non_inferior_wealth"] == (about, 1.0)
    assert found["trimtab_rollout_state"] == (labels | {"state": "progressing"}, 1.0)
    assert found["trimtab_rollout_verdict"] == (labels | {"verdict": "inconclusive"}, 1.0)
    assert found["trimtab_rollout_units"] == (labels | {"arm": "candidate"}, 40.0)
    assert found["trimtab_controller_led"] == ({"holder": "node-1"}, 1.0)
    assert found["trimtab_controller_epoch"][1] == 3


def test_while_the_store_is_away_the_rest_is_told(tmp_path: Path) -> None:
    here, _ = condition(tmp_path, FakeClock())
    page = metrics_page(here).decode()
    assert "trimtab_store_up 0" in page
    assert "trimtab_build_info" in page
    assert "trimtab_controller_led" not in page
