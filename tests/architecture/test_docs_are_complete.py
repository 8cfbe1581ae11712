from __future__ import annotations

import re
from pathlib import Path
from typing import Any, cast

import pytest
from starlette.routing import Route

from trimtab.api.app import api_routes
from trimtab.api.data_planes import data_plane_routes
from trimtab.api.migrations import migration_routes
from trimtab.api.otlp import otlp_routes
from trimtab.api.probes import probe_routes
from trimtab.control.rollout_reports import RolloutReport
from trimtab.migration.states import STATES
from trimtab.rollout.spec import plan_json_schema

DOCS = Path(__file__).parents[2] / "docs"
PAGES = sorted([*DOCS.rglob("*.md"), DOCS.parent / "README.md"])


def test_every_api_route_is_documented() -> None:
    page = (DOCS / "reference" / "api.md").read_text()
    nothing = cast("Any", None)
    for route in (*api_routes(nothing, nothing), *migration_routes(nothing, nothing)):
        assert isinstance(route, Route)
        verb = "POST" if "POST" in (route.methods or ()) else "GET"
        assert f"`{verb} {route.path}" in page, f"{verb} {route.path}"


def test_every_state_of_a_migration_is_documented_as_it_is() -> None:
    page = (DOCS / "reference" / "migration.md").read_text()
    for state in STATES:
        assert f"`{state.name}` {state.title} | {state.artefact} | {state.gate}" in page, state.name
        assert state.rollback in page, state.name


def test_every_figure_for_prometheus_is_documented() -> None:
    source = "".join(path.read_text() for path in (DOCS.parent / "src" / "trimtab").rglob("*.py"))
    named = set(re.findall(r'"(trimtab_[a-z_]+)"', source))
    page = (DOCS / "how-to" / "monitor.md").read_text()
    assert len(named) > 30
    assert {name for name in named if f"`{name}`" not in page} == set()


def test_every_route_of_other_peoples_tools_is_documented() -> None:
    page = (DOCS / "reference" / "api.md").read_text()
    for route in (*probe_routes(cast("Any", None), cast("Any", None)), *otlp_routes(cast("Any", None))):
        assert isinstance(route, Route)
        verb = "POST" if "POST" in (route.methods or ()) else "GET"
        assert f"`{verb} {route.path}" in page, route.path


def test_every_route_of_the_door_for_data_planes_is_documented() -> None:
    page = (DOCS / "reference" / "api.md").read_text()
    door = page[page.index("## For data planes of other machines") :]
    anything = cast("Any", None)
    for route in data_plane_routes(anything, anything, anything, anything):
        assert isinstance(route, Route)
        verb = "POST" if "POST" in (route.methods or ()) else "GET"
        assert f"`{verb} {route.path}" in door, f"{verb} {route.path}"


def test_every_key_of_a_rollout_plan_is_documented() -> None:
    page = (DOCS / "reference" / "rollout-yaml.md").read_text()
    prose = re.sub(r"```.*?```", "", page, flags=re.DOTALL)  # an example alone explains nothing
    named = {word for code in re.findall(r"`([^`]+)`", prose) for word in re.findall(r"[A-Za-z]+", code)}
    schema = plan_json_schema()
    assert {key for kind in schema["$defs"].values() for key in kind.get("properties", {})} - named == set()


def test_every_key_of_an_explanation_is_documented() -> None:
    page = (DOCS / "reference" / "explain.md").read_text()
    for key in RolloutReport.__struct_fields__:
        assert re.search(rf"`{key}(\[\])?`", page), key


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name}: {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_page_can_be_reached_from_the_index(page: Path) -> None:
    index = (DOCS / "index.md").read_text()
    if page.parent in (DOCS, DOCS.parent, DOCS / "decisions"):
        return
    assert str(page.relative_to(DOCS)) in index
