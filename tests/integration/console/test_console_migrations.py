"""Migrations over HTTP and on the console's pages, read from a real server."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    Site = Any  # the fixture's class lives in conftest

SCRIPT = "<script>alert(1)</script>"
MODELS = {"from": "openai/gpt-4o-mini-2024-07-18", "to": f"openai/{SCRIPT}"}


@pytest.fixture(scope="module")
def plan(site: Site) -> dict[str, Any]:
    answer = site.post("/api/v1/migrations", json.dumps(MODELS | {"parameters": {"temperature": None}}))
    assert answer.status == 201, answer.text
    found: dict[str, Any] = answer.json
    return found


def test_a_plan_is_begun_once_and_its_inventory_is_taken(site: Site, plan: dict[str, Any]) -> None:
    again = site.post("/api/v1/migrations", json.dumps(MODELS))
    identifier = plan["migration"]["id"]
    assert again.json["migration"]["id"] == identifier
    assert [fork["name"] for fork in plan["forks"]] == ["support-reply"]
    assert plan["deadline"]["shutdown"] == "2027-01-14"
    inventory = site.get(f"/api/v1/migrations/{identifier}/artifacts/inventory").json
    assert inventory["uses"][0]["parameters"] == {"temperature": 0.2, "max_tokens": 400}
    assert site.get(f"/api/v1/migrations/{identifier}").json["next"] == plan["next"]
    assert [one["migration"]["id"] for one in site.get("/api/v1/migrations").json] == [identifier]


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("approve", {"reason": "go"}, 409, "nothing_to_approve"),
        ("approve", {}, 400, "missing_reason"),
        ("ack", {"reason": "seen", "findings": ["nothing"]}, 404, "unknown_finding"),
        ("rollback", {"reason": "odd", "to": "canary"}, 409, "cannot_roll_back"),
        ("rollback", {"reason": "odd", "to": "mars"}, 400, "invalid_body"),
        ("rollback", {"reason": "odd", "fork": "mars"}, 404, "unknown_fork"),
        ("skip", {"reason": "now"}, 404, "unknown_command"),
    ],
)
def test_what_does_not_fit_is_refused_in_the_shape_of_every_error(
    site: Site, plan: dict[str, Any], path: str, body: dict[str, str], status: int, code: str
) -> None:
    answer = site.post(f"/api/v1/migrations/{plan['migration']['id']}/{path}", json.dumps(body))
    assert (answer.status, answer.json["error"]["code"]) == (status, code)


@pytest.mark.parametrize(
    ("wish", "code", "hint"),
    [
        ({"from": "openai/gpt-4o-mini-2024-07-1"}, "uncalled_model", "did you mean `openai/gpt-4o-mini-2024-07-18`?"),
        ({"to": "opnai/gpt-5"}, "unknown_provider", "did you mean `openai`?"),
    ],
)
def test_a_misspelt_model_begins_nothing(site: Site, wish: dict[str, str], code: str, hint: str) -> None:
    answer = site.post("/api/v1/migrations", json.dumps(MODELS | {"to": "openai/gpt-5"} | wish))
    assert (answer.status, answer.json["error"]["code"]) == (404, code)
    assert hint in answer.json["error"]["hint"]


def test_unknown_plans_and_artefacts_are_404s(site: Site, plan: dict[str, Any]) -> None:
    for path in ("mig_0", f"{plan['migration']['id']}/artifacts/diff", f"{plan['migration']['id']}/artifacts/mars"):
        assert site.get(f"/api/v1/migrations/{path}").status == 404, path
    assert site.get("/migrations/mig_0").status == 404


def test_a_person_s_decision_is_on_the_page_and_nothing_in_it_runs(site: Site, plan: dict[str, Any]) -> None:
    identifier = plan["migration"]["id"]
    answer = site.post(f"/api/v1/migrations/{identifier}/rollback", json.dumps({"reason": SCRIPT}))
    assert answer.json["forks"][0]["standing"] == "held"
    listed, page = site.get("/migrations").text, site.get(f"/migrations/{identifier}").text
    for text in (listed, page):
        assert SCRIPT not in text
        assert "&lt;script&gt;alert(1)" in text
    assert "support-reply#1" in page
    assert "rolled back by ada" in page
    assert f"<code>trimtab migration approve {identifier} --fork support-reply --reason ...</code>" in page
    assert 'href="/migrations"' in site.get("/").text
    approved = site.post(f"/api/v1/migrations/{identifier}/approve", json.dumps({"reason": "again"}))
    assert approved.json["forks"][0]["standing"] == "due"
    actions = [entry["action"] for entry in site.get("/api/v1/audit").json["entries"]]
    assert "migration.start" in actions
    assert "migration.transition" in actions
