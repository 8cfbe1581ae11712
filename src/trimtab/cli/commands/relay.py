"""trimtab relay."""

from __future__ import annotations

import signal
import sys
import threading
from typing import TYPE_CHECKING

import click

from trimtab.cli.output import emit_json, json_option, log_format_option, say

if TYPE_CHECKING:
    from trimtab.bootstrap.settings import Settings
    from trimtab.cli.context import AppContext
    from trimtab.cli.loops import Loop

__all__ = ["command"]


@click.command("relay")
@click.option("--server", "servers", multiple=True, metavar="URL", help="A node's door for data planes; repeatable.")
@click.option("--health", is_flag=True, help="Tell how this machine's relay fares, and exit: 0 well, 1 cut off.")
@json_option
@log_format_option
@click.pass_obj
def command(
    app: AppContext,
    servers: tuple[str, ...],
    health: bool,  # noqa: FBT001 - click's signature
    as_json: bool,  # noqa: FBT001 - as above
    log_format: str | None,
) -> None:
    """Connect the gateways and SDKs of this machine to a control plane on another one.

    Snapshots come down and become this machine's snapshot file; journals go up, and are moved into files of evidence,
    counted for Prometheus and sent to a collector here. While no node answers, everything is served on as it is, and
    nothing is lost. The key is read from the environment variable that `relay.key_env` names, TRIMTAB_RELAY_KEY by
    default.
    """
    settings = app.settings(relay__servers=list(servers) or None, log_format=log_format)
    if health:
        _tell_health(settings, as_json=as_json)
    else:
        _run(settings)


def _run(settings: Settings) -> None:
    from trimtab.bootstrap.evidence import EvidenceLoop
    from trimtab.bootstrap.followers import FOLLOW_SECONDS, open_followers
    from trimtab.bootstrap.logs import open_log
    from trimtab.bootstrap.relay import relay_wiring
    from trimtab.cli.loops import drive
    from trimtab.control.loop_watch import LoopWatch
    from trimtab.core.clock import SystemClock
    from trimtab.relay.follow import SILENCE_SECONDS, SnapshotFollower
    from trimtab.relay.link import Link
    from trimtab.relay.run import Relay, RelayParts
    from trimtab.relay.ship import JudgedByNodes, Shipper
    from trimtab.rollout.files import SnapshotFiles

    open_log(settings)
    wired = relay_wiring(settings)

    def link(read_seconds: float) -> Link:
        return Link(wired.servers, wired.key, wired.tls, read_seconds=read_seconds)

    directory = settings.data_directory
    files = SnapshotFiles(directory)
    shipper = Shipper(link(10.0), directory.journals, wired.machine)
    parts = RelayParts(
        machine=wired.machine,
        environment=settings.environment,
        directory=directory,
        files=files,
        follower=SnapshotFollower(link(SILENCE_SECONDS), files, settings.environment),
        shipper=shipper,
        reports=link(10.0),
        clock=SystemClock(),
    )
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    relay = Relay(parts, lambda line: say(f"relay {line}"))
    relay.start()
    say(f"relay of {wired.machine} ({settings.environment}) to {', '.join(wired.servers)}")
    if not settings.evidence.location:
        say("evidence stays on this machine: set evidence.location to a place that all machines share")
    watch = LoopWatch(SystemClock())
    loops: dict[str, tuple[Loop, float]] = {
        "evidence": (EvidenceLoop(settings, JudgedByNodes(shipper)), settings.evidence.compact_seconds),
        **{name: (follower, FOLLOW_SECONDS) for name, follower in open_followers(settings).items()},
    }
    threads = [
        threading.Thread(target=drive, args=(name, loop, watch, stop, seconds), name=name)
        for name, (loop, seconds) in loops.items()
    ]
    try:
        for name, thread in zip(loops, threads, strict=True):
            watch.began(name)
            thread.start()
        stop.wait()
    finally:
        stop.set()
        for thread in threads:
            if thread.ident is not None:
                thread.join()
        relay.stop()


def _tell_health(settings: Settings, *, as_json: bool) -> None:
    from trimtab.core.clock import SystemClock
    from trimtab.relay.health import read_health

    health = read_health(settings.data_directory.relay)
    fault = health.fault(SystemClock().now_ms())
    if as_json:
        emit_json(health)
    else:
        print(f"{health.machine} ({health.environment}), snapshot {health.revision}: {fault or 'well'}")
        print(f"  snapshots from  {health.server}, last heard {_seconds(health.heard_seconds_ago)}")
        print(f"  journals to     {health.journals_to}, last taken {_seconds(health.shipped_seconds_ago)}")
        print(f"  backlog         {health.backlog_bytes:,} bytes")
    sys.exit(1 if fault else 0)


def _seconds(ago: float | None) -> str:
    return "never" if ago is None else f"{ago:g} s ago"
