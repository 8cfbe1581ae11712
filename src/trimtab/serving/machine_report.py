"""What a machine's relay says of it to the control plane once a second, and what nodes of that know of machines.

`machines.json` in a node's data directory holds the reports of every machine, whichever node they came to, so that
"which version is running?" is answered from plain files there too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from trimtab.serving.process_status import ProcessStatus, read_processes

if TYPE_CHECKING:
    from trimtab.serving.directory import DataDirectory

__all__ = ["MachineReport", "arrived", "read_reports", "read_statuses"]


class MachineReport(msgspec.Struct, frozen=True, kw_only=True):
    """One machine's data planes."""

    machine: str
    at_ms: int
    """By the machine's own clock; once received, by the receiver's."""
    processes: list[ProcessStatus] = []
    backlog_bytes: int = 0
    """Of its journals, not taken in by the controller yet."""
    problem: str = ""


_decoder = msgspec.json.Decoder(list[MachineReport])


def arrived(report: MachineReport, *, now_ms: int) -> MachineReport:
    """Return a report as the receiver's clock would tell it: no two machines' clocks agree."""
    ahead_ms = now_ms - report.at_ms
    processes = [
        msgspec.structs.replace(one, machine=report.machine, heartbeat_ms=one.heartbeat_ms + ahead_ms)
        for one in report.processes
    ]
    return msgspec.structs.replace(report, at_ms=now_ms, processes=processes)


def read_reports(directory: DataDirectory) -> list[MachineReport]:
    """Return what this node last knew of other machines; nothing where it knows of none."""
    try:
        return _decoder.decode(directory.machines.read_bytes())
    except (OSError, msgspec.DecodeError):
        return []


def read_statuses(directory: DataDirectory, *, environment: str, now_ms: int) -> list[ProcessStatus]:
    """Return the statuses of an environment's processes, of this machine and of all that report to it."""
    own = read_processes(directory.processes, environment=environment, now_ms=now_ms)
    known = {one.process for one in own}
    told = [one for report in read_reports(directory) for one in report.processes]
    return own + [one for one in told if one.environment == environment and one.process not in known]
