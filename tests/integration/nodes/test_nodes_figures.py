"""Figures of a machine whose control plane is elsewhere: its relay counts, its gateway tells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from trimtab.telemetry.tally_file import claim

if TYPE_CHECKING:
    from collections.abc import Callable

    Cluster = Any  # the fixture's class lives in conftest


@pytest.mark.slow
def test_a_relay_counts_and_the_gateway_beside_it_tells(
    cluster: Callable[..., Cluster], ask: Callable[..., Any], eventually: Callable[..., Any]
) -> None:
    site = cluster(nodes=1, machines=1)
    site.start()
    site.crowd.start()
    eventually(lambda: site.crowd.answered > 20, "users get no answers")
    site.crowd.stop()
    (machine,) = site.machines
    with claim(machine.directory.telemetry / "tally.lock") as free:
        assert not free  # the relay counts

    def told() -> dict[str, float]:
        page = ask(machine.port, "GET", "/metrics")[2].decode()
        samples = [one for family in text_string_to_metric_families(page) for one in family.samples]
        found = {name: sum(one.value for one in samples if one.name == name) for name in {one.name for one in samples}}
        shadows = sum(one.value for one in samples if one.labels.get("arm") == "shadow" and "requests" in one.name)
        return found | {"answered": found.get("trimtab_requests_total", 0) - shadows}

    eventually(lambda: told()["answered"] == site.crowd.answered, "the figures do not add up")
    eventually(lambda: told()["trimtab_relay_connected"] == 1, "the relay is told to be cut off")
    eventually(lambda: told()["trimtab_relay_backlog_bytes"] == 0, "journals wait though a node takes them")
    site.nodes[0].process.end()
    eventually(lambda: told()["trimtab_relay_connected"] == 0, "nobody tells that the machine is cut off")
