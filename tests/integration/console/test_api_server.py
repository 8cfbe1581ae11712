"""The control plane over HTTP, against a real server on loopback."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from trimtab.core.ids import new_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Site = Any  # the fixture's class lives in conftest

START = '{"feature": "support-reply", "candidate": "#2", "reason": "over HTTP"}'


def await_state(site: Site, rollout: str, *states: str) -> Any:
    deadline = time.monotonic() + 15
    while True:
        report = site.get(f"/api/v1/rollouts/{rollout}").json
        if report["rollout"]["state"] in states:
            return report
        assert time.monotonic() < deadline, report["rollout"]
        time.sleep(0.1)


def await_published(site: Site) -> None:
    """A state is stored first and published next."""
    deadline = time.monotonic() + 15
    while site.get("/api/v1/running").json["features"][0]["rollout"] is None:
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.fixture
def started(site: Site) -> Iterator[str]:
    """A rollout that the server's controller took beyond `validating`; ended afterwards."""
    answer = site.post("/api/v1/rollouts", START)
    assert answer.status == 201, answer.text
    rollout = answer.json["id"]
    await_state(site, rollout, "shadowing")
    await_published(site)
    yield rollout
    site.post(f"/api/v1/rollouts/{rollout}/abort", '{"reason": "end of the test"}')
    await_state(site, rollout, "rolled_back", "superseded")


@pytest.mark.parametrize(("path", "status"), [("/healthz", "ok"), ("/readyz", "ready")])
def test_health_is_answered_while_the_store_answers(site: Site, path: str, status: str) -> None:
    answer = site.get(path)
    assert (answer.status, answer.json["status"]) == (200, status)


def test_running_puts_the_declaration_beside_what_traffic_saw(site: Site) -> None:
    answer = site.get("/api/v1/running?feature=support-reply")
    assert answer.status == 200
    (feature,) = answer.json["features"]
    assert (feature["stable"], feature["team"]) == ("support-reply#1", "support")
    assert [(one["release"], one["requests"], one["share"]) for one in feature["seen"]] == [
        ("support-reply#1", 42, 1.0)
    ]
    assert [process["pid"] for process in answer.json["processes"]] == [4711]


def test_releases_history_trace_and_audit_are_data(site: Site) -> None:
    releases = site.get("/api/v1/features/support-reply/releases").json
    assert [one["number"] for one in releases] == [2, 1]
    moves = site.get("/api/v1/features/support-reply/history").json
    assert moves[0]["to_release"] == releases[1]["digest"]
    assert site.get("/api/v1/features/support-reply/history?environment=staging").json == []
    (metrics,) = site.get("/api/v1/evidence/metrics?feature=support-reply&since=100000d").json
    assert (metrics["release"], metrics["requests"]) == ("support-reply#1", 1)
    lines = site.get(
        "/api/v1/evidence/export?feature=support-reply&status=ok&since=99999999d&limit=5"
    ).text.splitlines()
    assert [json.loads(line)["id"] for line in lines] == [site.generation]
    assert site.get("/api/v1/evidence/export?unit=nobody&since=1h").text == ""
    trace = site.get(f"/api/v1/traces/{site.generation}").json
    assert (trace["generation"]["id"], trace["release"]) == (site.generation, "support-reply#1")
    audit = site.get("/api/v1/audit").json
    assert audit["broken"] == ""
    assert audit["entries"][0]["action"] == "feature.create"


def test_a_rollout_is_started_driven_and_steered(site: Site, started: str) -> None:
    declared = site.get("/api/v1/running").json["features"][0]["rollout"]
    assert (declared["id"], declared["candidate"], declared["state"]) == (started, "support-reply#2", "shadowing")
    paused = site.post(f"/api/v1/rollouts/{started}/pause", '{"reason": "lunch"}')
    assert (paused.status, paused.json["state"], paused.json["pause_reason"]) == (200, "paused", "manual")
    resumed = site.post(f"/api/v1/rollouts/{started}/resume", '{"reason": "back"}')
    assert resumed.json["state"] == "shadowing"
    transitions = site.get(f"/api/v1/rollouts/{started}").json["transitions"]
    assert [(one["to_state"], one["reason"]) for one in transitions][-2:] == [
        ("paused", "lunch"),
        ("shadowing", "back"),
    ]
    newest = site.get("/api/v1/rollouts?feature=support-reply").json[0]
    assert newest["rollout"]["id"] == started


def test_nobody_promotes_past_the_evidence_without_a_reason(site: Site, started: str) -> None:
    for body in ("{}", '{"reason": "  "}'):
        refused = site.post(f"/api/v1/rollouts/{started}/promote", body)
        assert (refused.status, refused.json["error"]["code"]) == (400, "missing_reason")
    assert site.get(f"/api/v1/rollouts/{started}").json["rollout"]["state"] == "shadowing"


def test_a_second_rollout_is_a_conflict_unless_it_supersedes(site: Site, started: str) -> None:
    refused = site.post("/api/v1/rollouts", START)
    assert (refused.status, refused.json["error"]["code"]) == (409, "rollout_active")
    second = site.post("/api/v1/rollouts", START.replace("}", ', "supersede": true}'))
    assert second.status == 201
    assert site.get(f"/api/v1/rollouts/{started}").json["rollout"]["state"] == "superseded"
    site.post(f"/api/v1/rollouts/{second.json['id']}/abort", "{}")
    await_state(site, second.json["id"], "rolled_back")


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [("GET", "/api/v1/nothing", 404, "not_found"), ("DELETE", "/api/v1/rollouts", 405, "method_not_allowed")],
)
def test_a_path_or_method_that_is_not_there_is_an_error_of_the_same_shape(
    site: Site, method: str, path: str, status: int, code: str
) -> None:
    answer = site.send(method, path)
    assert (answer.status, answer.json["error"]["code"]) == (status, code)
    assert path in answer.json["error"]["message"]
    assert ("allow" in answer.headers) == (status == 405)


def unknown_generation(_site: Site) -> str:
    return f"/api/v1/traces/{new_id('gen', 1_760_000_000_000)}"


@pytest.mark.parametrize(
    ("path", "status", "code", "kind"),
    [
        ("/api/v1/running?feature=suport-reply", 404, "unknown_feature", "not_found_error"),
        ("/api/v1/features/nobody/releases", 404, "unknown_feature", "not_found_error"),
        ("/api/v1/rollouts?feature=nobody", 404, "unknown_feature", "not_found_error"),
        ("/api/v1/rollouts/ro_none", 404, "unknown_rollout", "not_found_error"),
        ("/api/v1/traces/gen_123", 400, "malformed_id", "invalid_request_error"),
        ("/api/v1/evidence/gossip", 404, "unknown_question", "not_found_error"),
        ("/api/v1/evidence/metrics?colour=red", 400, "unknown_parameter", "invalid_request_error"),
        ("/api/v1/evidence/metrics?since=soon", 400, "malformed_duration", "invalid_request_error"),
        ("/api/v1/evidence/metrics?release_number=two", 400, "invalid_number", "invalid_request_error"),
        ("/api/v1/evidence/trends?by=year", 400, "invalid_bucket", "invalid_request_error"),
        ("/api/v1/evidence/failing?limit=0", 400, "invalid_limit", "invalid_request_error"),
        ("/api/v1/evidence/export?limit=0", 400, "invalid_limit", "invalid_request_error"),
        (unknown_generation, 404, "unknown_generation", "not_found_error"),
    ],
    ids=[
        "running",
        "releases",
        "rollouts",
        "rollout",
        "trace",
        "question",
        "parameter",
        "since",
        "number",
        "bucket",
        "limit",
        "lines",
        "trace-unknown",
    ],
)
def test_every_error_has_the_one_shape(
    site: Site, path: str | Callable[[Site], str], status: int, code: str, kind: str
) -> None:
    answer = site.get(path if isinstance(path, str) else path(site))
    assert answer.status == status
    assert set(answer.json) == {"error"}
    error = answer.json["error"]
    assert set(error) == {"type", "code", "message", "param", "hint"}
    assert (error["type"], error["code"]) == (kind, code)
    assert error["message"]


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""]
)
def test_a_write_that_a_foreign_page_could_send_is_refused(site: Site, content_type: str) -> None:
    before = site.get("/api/v1/audit").json
    answer = site.post("/api/v1/rollouts", START, content_type)
    assert (answer.status, answer.json["error"]["code"]) == (400, "not_json")
    assert answer.json["error"]["param"] == "content-type"
    assert site.get("/api/v1/audit").json == before


def test_a_preflight_is_not_answered_with_permission(site: Site) -> None:
    answer = site.send(
        "OPTIONS",
        "/api/v1/rollouts",
        **{"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"},
    )
    assert answer.status == 405
    assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", ""])
@pytest.mark.parametrize("path", ["/", "/api/v1/running"])
def test_a_foreign_host_header_is_refused(site: Site, path: str, host: str) -> None:
    answer = site.get(path, Host=host)
    assert answer.status == 400
    assert "support-reply" not in answer.text


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
def test_loopback_by_any_of_its_names_is_served(site: Site, host: str) -> None:
    assert site.get("/healthz", Host=f"{host}:{site.port}").status == 200


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("{", "truncated"),
        ('{"feature": "support-reply"}', "candidate"),
        ('{"feature": 3, "candidate": "#2"}', "$.feature"),
        ('{"feature": "support-reply", "candidate": "#2", "raeson": "x"}', "raeson"),
        ("[]", "array"),
    ],
)
def test_a_wrong_body_is_refused_with_what_is_wrong(site: Site, body: str, said: str) -> None:
    answer = site.post("/api/v1/rollouts", body)
    assert (answer.status, answer.json["error"]["code"]) == (400, "invalid_body")
    assert said in answer.json["error"]["message"]


def test_results_of_suites_are_recorded_and_read(site: Site) -> None:
    path = "/api/v1/features/support-reply/evals"
    stated = site.post(path, '{"release": "#2", "suite": "smoke", "passed": false, "reason": "two were rude"}')
    assert (stated.status, stated.json["number"], stated.json["passed"]) == (201, 1, False)
    counts = '{"release": "#2", "suite": "smoke", "cases": {"passed": 19, "failed": 1}, "threshold": 0.95}'
    counted = site.post(path, counts)
    assert (counted.status, counted.json["passed"], counted.json["source"]) == (201, True, "counts")
    told = site.get(f"{path}?release=%232").json
    assert [(one["release_name"], one["result"]["number"]) for one in told] == [
        ("support-reply#2", 2),
        ("support-reply#2", 1),
    ]
    assert site.get("/api/v1/audit").json["entries"][-1]["action"] == "eval.record"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ('{"release": "#2", "suite": "smoke"}', "no_outcome"),
        ('{"release": "#2", "suite": "smoke", "passed": true, "cases": {"passed": 1}}', "no_outcome"),
        ('{"release": "#2", "suite": "smoke", "passed": "yes"}', "invalid_body"),
        ('{"release": "#2", "suite": "smoke", "cases": {"passed": -1}}', "invalid_body"),
        ('{"release": "#2", "suite": "smoke", "cases": {"passed": 0}}', "empty_report"),
        ('{"release": "#2", "suite": "smoke", "cases": {"passed": 1}, "threshold": 2}', "malformed_threshold"),
        ('{"release": "#2", "suite": "no suite", "passed": true}', "malformed_name"),
        ('{"release": "#2", "suite": "smoke", "passed": true}', "missing_reason"),
        ('{"release": "#2", "suite": "smoke", "passed": true, "reason": " "}', "missing_reason"),
        ('{"release": "#2", "suite": "smoke", "cases": {"passed": 1}, "dataset": "nope@v1"}', "unknown_dataset"),
        ('{"release": "#99", "suite": "smoke", "passed": true}', "unknown_release"),
    ],
)
def test_a_result_that_says_nothing_is_refused_and_leaves_nothing_behind(site: Site, body: str, code: str) -> None:
    path = "/api/v1/features/support-reply/evals"
    before = site.get(path).json
    answer = site.post(path, body)
    assert answer.json["error"]["code"] == code
    assert site.post(path, body, "text/plain").json["error"]["code"] == "not_json"
    assert site.get(path).json == before


def test_a_command_that_does_not_exist_is_answered_with_those_that_do(site: Site) -> None:
    answer = site.post("/api/v1/rollouts/support-reply/supersede", "{}")
    assert (answer.status, answer.json["error"]["code"]) == (404, "unknown_command")
    assert answer.json["error"]["hint"] == "one of pause, resume, promote, abort"


def test_reading_never_changes_anything(site: Site) -> None:
    before = site.get("/api/v1/audit").json
    for path in ("/api/v1/rollouts/support-reply/abort", "/api/v1/rollouts/support-reply/promote"):
        assert site.get(path).status == 405
    assert site.get("/api/v1/audit").json == before
