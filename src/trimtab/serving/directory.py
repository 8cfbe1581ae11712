"""Where a data plane and its control plane meet on one machine: a folder of plain files."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from trimtab.core.errors import InputError

__all__ = ["DataDirectory"]

_DIGITS = re.compile(r"[0-9A-Za-z]{1,128}")


class DataDirectory(msgspec.Struct, frozen=True):
    """Paths under the data directory (`.trimtab` by default). Creating folders is the writers' business."""

    root: Path

    @property
    def database(self) -> Path:
        """Control state (SQLite)."""
        return self.root / "control.db"

    def snapshot(self, environment: str) -> Path:
        """The routing snapshot of an environment, replaced by atomic rename; also the last good one on disk."""
        return self.root / "snapshots" / f"{environment}.json"

    def earlier_snapshot(self, environment: str, reader: int) -> Path:
        """The last snapshot of an environment for readers of that version, once newer ones are needed."""
        return self.root / "snapshots" / f"{environment}.json.reader-{reader}"

    def release(self, digest: str) -> Path:
        """A release that was ever published here, by its digest; written once, so that old requests can be read.

        Raises `InputError` for what is no digest: it comes from elsewhere, and becomes part of a path.
        """
        digits = digest.removeprefix("sha256:")
        if not _DIGITS.fullmatch(digits):
            raise InputError("malformed_digest", "this is no digest of a release", param="release")
        return self.root / "releases" / f"{digits}.json"

    @property
    def journals(self) -> Path:
        """One folder per data-plane process, named by its process id."""
        return self.root / "journal"

    @property
    def usage(self) -> Path:
        """One file per team that has limits: what the processes of this machine have used of them."""
        return self.root / "usage"

    @property
    def processes(self) -> Path:
        """One status file per data-plane process, rewritten every second."""
        return self.root / "processes"

    @property
    def telemetry(self) -> Path:
        """What was counted for monitoring, and how far it was sent on."""
        return self.root / "telemetry"

    @property
    def datasets(self) -> Path:
        """Items of datasets, each file named by its digest."""
        return self.root / "datasets"

    @property
    def evals(self) -> Path:
        """Answers that releases gave when they were tried, and what was made of them."""
        return self.root / "evals"

    @property
    def machines(self) -> Path:
        """On a node of the control plane: what other machines' relays last said of them."""
        return self.root / "machines.json"

    @property
    def relay(self) -> Path:
        """How this machine's relay fares, rewritten every second."""
        return self.root / "relay.json"
