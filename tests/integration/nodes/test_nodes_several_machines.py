"""Two control-plane nodes on Postgres and two machines that share nothing with them, while things are killed.

Given users who ask all the time, when a release breaks its format it is rolled back on every machine, and when one does
not it is promoted; and whoever is killed meanwhile, no request fails, and each event is evidence exactly once.
"""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING, Any

import pytest
from tests.postgres import PostgresServer, find_binaries

from trimtab.evidence.objects import open_objects
from trimtab.evidence.reader import EvidenceReader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Cluster = Any  # the fixture's class lives in conftest


def wait(happened: Callable[[], Any], what: str) -> None:
    deadline = time.monotonic() + 90
    while not happened():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


@pytest.fixture
def own_postgres() -> Iterator[PostgresServer]:
    """A server that may be crashed."""
    binaries = find_binaries()
    if binaries is None:
        pytest.skip("Postgres is not installed (Debian: apt-get install postgresql)")
    server = PostgresServer(binaries)
    try:
        server.start()
        yield server
    finally:
        server.remove()


def seen(node: Any) -> set[tuple[str, str]]:
    """Machines whose gateways a node shows as alive, and the release they last served."""
    report = node.get("/api/v1/running")
    served = {process for feature in report["features"] for one in feature["seen"] for process in one["by_process"]}
    return {
        (process["machine"], process["kind"])
        for process in report["processes"]
        if not process["stale"] and process["id"] in served
    }


def from_everywhere(node: Any) -> None:
    expected = {("machine-0", "gateway"), ("machine-1", "gateway")}
    wait(lambda: node.is_up() and seen(node) == expected, "a node does not show every machine")


def evidence_goes_on(site: Cluster, rollout: str) -> None:
    before = site.folded(rollout)
    wait(lambda: site.folded(rollout) > before + 20, f"evidence does not go on: {site.said()}")


def kill_the_leader(site: Cluster, rollout: str) -> None:
    first, epoch = site.leader(), site.lease().epoch
    first.process.end(signal.SIGKILL)
    wait(lambda: site.leader() is not first, "nobody takes over")
    assert site.lease().epoch == epoch + 1
    evidence_goes_on(site, rollout)
    first.start()


def freeze_the_leader(site: Cluster, rollout: str) -> None:
    """One that hangs is followed by another, and finds out when it wakes."""
    first = site.leader()
    first.process.send(signal.SIGSTOP)
    wait(lambda: site.leader() is not first, "nobody takes over")
    evidence_goes_on(site, rollout)
    epoch = site.lease().epoch
    first.process.send(signal.SIGCONT)
    evidence_goes_on(site, rollout)
    assert site.lease().epoch == epoch
    assert site.leader() is not first


def crash_the_database(site: Cluster, rollout: str, postgres: PostgresServer) -> None:
    site.machines[0].relay.end(signal.SIGKILL)
    postgres.stop(how="immediate")
    postgres.start()
    site.machines[0].relay.start()
    evidence_goes_on(site, rollout)


def lose_the_control_plane(site: Cluster) -> None:
    for node in site.nodes:
        node.process.end(signal.SIGKILL)
    site.machines[1].relay.end(signal.SIGKILL)
    frozen, answered = [machine.revision for machine in site.machines], site.crowd.answered
    wait(lambda: site.crowd.answered > answered + 60, "users get no answers")
    assert [machine.revision for machine in site.machines] == frozen
    for node in site.nodes:
        node.start()
    site.machines[1].relay.start()
    wait(lambda: all(node.is_up() for node in site.nodes), "a node does not come back")


@pytest.mark.slow
def test_rollouts_end_right_and_each_event_counts_once_whoever_is_killed(
    cluster: Callable[..., Cluster], own_postgres: PostgresServer
) -> None:
    site = cluster(nodes=2, machines=2, database=own_postgres.new_store_url())
    site.start()
    site.crowd.start()
    for node in site.nodes:  # whichever node a relay reports to
        from_everywhere(node)

    bad = site.plane.start_rollout("support-reply", "#2", reason="breaks").id
    site.await_state(bad, "rolled_back")
    assert site.plane.pointer("support-reply").release == site.plane.release("support-reply", "#1").digest
    withdrawn = max(machine.revision for machine in site.machines)

    good = site.plane.start_rollout("support-reply", "#3", reason="mended").id
    site.await_state(good, "paused")
    kill_the_leader(site, good)
    freeze_the_leader(site, good)
    crash_the_database(site, good, own_postgres)
    lose_the_control_plane(site)
    site.crowd.stop()
    assert min(machine.revision for machine in site.machines) > withdrawn

    recorded = site.recorded(good)
    assert set(recorded.values()) == {1}
    wait(lambda: site.folded(good) >= len(recorded), f"something is missing: {site.said()}")
    site.plane.command_rollout(good, "resume")
    site.await_state(good, "promoted")
    assert site.folded(good) == len(recorded)
    assert site.crowd.failed == []
    await_files(site, good, len(recorded))


def await_files(site: Cluster, rollout: str, events: int) -> None:
    """Files alone, which the machines wrote themselves, hold each event once."""
    reader = EvidenceReader(open_objects(str(site.root / "bucket")))
    count = "SELECT count(*) AS n, count(DISTINCT id) AS d FROM generations WHERE rollout = $rollout"
    count += " AND arm IN ('candidate', 'matched_control')"
    expected = [{"n": events, "d": events}]
    wait(lambda: reader.query(count, {"rollout": rollout}).to_pylist() == expected, "events are not in files")
    reader.close()
