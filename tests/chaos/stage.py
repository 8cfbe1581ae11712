"""Who runs where: everything in one data directory, or the control plane's nodes apart from the machine that serves."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from tests.chaos.shipping import GOOD
from tests.free_port import free_port

from trimtab.bootstrap.control import open_control
from trimtab.bootstrap.settings import Settings, load_settings

if TYPE_CHECKING:
    from tests.chaos.network import Network
    from tests.chaos.processes import Cast

__all__ = ["Play", "Stage", "set_stage"]

_TRIMTAB = [sys.executable, "-m", "trimtab"]
_HERE = Path(__file__).parent


class Play(msgspec.Struct, frozen=True, kw_only=True):
    """How long, how hard, on what."""

    kills: int
    seed: int
    mean_seconds: float = 0.8
    """Between two faults, on average."""
    longest_freeze_seconds: float = 8.0
    """Of a server."""
    rate: float = 80.0
    """Calls to the gateway per second."""
    workers: int = 3
    """Of the gateway."""
    servers: int = 2
    writers: int = 3
    apart: bool = False
    """Whether the control plane is on other machines than the gateway, and a relay between them."""


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """Where things are."""

    folder: Path
    machine: Settings
    """Of the machine that serves."""
    control: Settings
    """Of a node of the control plane; the same where all is on one machine."""
    nodes: list[Path]
    """Folders of the nodes, each with its `trimtab.toml`."""
    doors: list[str]
    """Where a relay reaches the nodes; empty where there is none."""
    acknowledged: list[Path]
    """Where applications note what was acknowledged to them."""

    def enter(self, cast: Cast, plan: Play, network: Network) -> None:
        """Start everybody."""
        upstream = self.machine.providers["openai"].base_url
        port = upstream.rpartition(":")[2].partition("/")[0]
        simulator = [*network.on("upstream"), sys.executable, str(_HERE / "upstream.py"), network.upstream_host, port]
        cast.add("upstream", [*simulator, str(self.folder / "upstream.json"), str(plan.seed)], self.folder)
        cast.add("gateway", [*network.on("gateway"), *_TRIMTAB, "gateway"], self.folder)
        for number, node in enumerate(self.nodes):
            cast.add(f"server-{number}", [*_TRIMTAB, "server", "--port", str(free_port())], node)
        if self.doors:
            servers = [word for door in self.doors for word in ("--server", door)]
            cast.add("relay", [*network.on("gateway"), *_TRIMTAB, "relay", *servers], self.folder)
        writer = [sys.executable, str(_HERE / "writer.py"), self.machine.directory, GOOD]
        for number, path in enumerate(self.acknowledged):
            path.touch()
            cast.add(f"writer-{number}", [*writer, str(path), str(plan.seed)], self.folder)


def set_stage(folder: Path, disk: Path, plan: Play, network: Network, database: str) -> Stage:
    """Write everybody's settings, and return where things are. `disk` is where the serving machine's data lies."""
    common = (
        f'database = "{database}"\n\n[server]\nport = {free_port()}\ntick_seconds = 0.2\n\n'
        f'[evidence]\nlocation = "{disk / "evidence"}"\ncompact_seconds = 0.5\njournal_hours = 0.005\n\n'
        "[journal]\nmax_bytes = 268435456\nmin_free_bytes = 0\nsegment_seconds = 3.0\n\n"
    )
    machine = (
        f'directory = "{disk / "data"}"\n{common}'
        f'[gateway]\nhost = "{network.gateway_host}"\nport = {free_port()}\nworkers = {plan.workers}\n'
        "trust_network = true\ndrain_seconds = 2.0\n\n"
        f'[providers.openai]\nbase_url = "http://{network.upstream_host}:{free_port()}/v1"\napi_key_env = ""\n'
    )
    nodes, doors = [folder] * plan.servers, []
    if plan.apart:
        nodes = [folder / f"node-{number}" for number in range(plan.servers)]
        for node in nodes:
            node.mkdir()
            port = free_port()
            doors.append(f"http://{network.control_host}:{port}")
            door = f'[server.data_planes]\nhost = "{network.control_host}"\nport = {port}\naddress = "{doors[-1]}"\n'
            (node / "trimtab.toml").write_text(f'directory = "{node / "data"}"\n{common}{door}')
    (folder / "trimtab.toml").write_text(machine)
    return Stage(
        folder=folder,
        machine=load_settings(config=folder / "trimtab.toml", environ={}),
        control=load_settings(config=nodes[0] / "trimtab.toml", environ={}),
        nodes=nodes,
        doors=doors,
        acknowledged=[folder / f"acknowledged-{number}" for number in range(plan.writers)],
    )


def environment_of(stage: Stage) -> dict[str, str]:
    """Return what processes inherit: of ours nothing that is a setting, and the relay's key."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TRIMTAB_")}
    if stage.doors:
        plane = open_control(stage.control)
        kept["TRIMTAB_RELAY_KEY"] = plane.create_key("chaos", "data-plane")[1]
        plane.close()
    return kept | {"PYTHONUNBUFFERED": "1"}
