"""Rollouts without end: of one feature every candidate is good and must be promoted, of the other bad and must go."""

from __future__ import annotations

import json
import threading
import time
from importlib.resources import as_file, files
from shutil import copytree
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from sqlalchemy.exc import SQLAlchemyError
from tests.chaos.played import Played

from trimtab.bootstrap.control import open_control
from trimtab.core.errors import TrimtabError

if TYPE_CHECKING:
    from pathlib import Path

    from trimtab.bootstrap.settings import Settings
    from trimtab.control.plane import ControlPlane
    from trimtab.rollout.model import Rollout

__all__ = ["BAD", "GOOD", "UPSTREAM", "EndedRollout", "Shipping", "write_feature"]

GOOD, BAD = "good-reply", "bad-reply"
_MODEL_FEATURE = "support-reply"
_SENTENCE = "Reply with one JSON object and nothing else: answer, order_id, next_step."
_HARM = "Explain your reasoning."
_PLAN = """\
unit: user
window: 1s
alpha: 0.001
metrics:
  - {name: error, role: guardrail, margin: 0.1}
  - {name: schema, role: guardrail, margin: 0.1}
steps:
  - setWeight: 50
  - analysis: {mode: nonInferior, minUnits: 60, maxDuration: 1h}
  - bake: {duration: 1s, controlWeight: 5}
"""
_LATENCY = {"medianMs": 15, "p95Ms": 40}
UPSTREAM: dict[str, Any] = {
    "rules": [
        {"when": {"systemContains": _HARM}, "drawBy": "user", "preambleRate": 0.35, "latency": _LATENCY},
        {"latency": _LATENCY},
    ]
}
"""How the simulated model takes it."""
_LOOK_SECONDS = 0.2
_AGAIN_SECONDS = 0.5
_EXPECTED = {GOOD: "promoted", BAD: "rolled_back"}
_PASSING = (TrimtabError, SQLAlchemyError, OSError)
"""What a full disk or a database that is away raises; tried again, as a person or a pipeline would."""


class EndedRollout(msgspec.Struct, frozen=True):
    """A rollout that ended, and how."""

    feature: str
    state: str
    reason: str

    @property
    def right(self) -> bool:
        """Whether it ended as it must."""
        return self.state == _EXPECTED[self.feature]


def write_feature(folder: Path, feature: str, *, number: int) -> None:
    """Write a feature's folder as of its release `number`; the first of either feature is good."""
    target = folder / feature
    if not target.exists():
        with as_file(files("trimtab.demo") / _MODEL_FEATURE) as example:
            copytree(example, target)
        (target / f"{_MODEL_FEATURE}.prompt.yml").rename(target / f"{feature}.prompt.yml")
        (target / "rollout.yaml").write_text(_PLAN)
        text = (target / "feature.yaml").read_text()
        (target / "feature.yaml").write_text(text.replace(f"feature: {_MODEL_FEATURE}", f"feature: {feature}"))
    path = target / f"{feature}.prompt.yml"
    harm = f"{_HARM} " if feature == BAD and number > 1 else ""
    lines = path.read_text().splitlines()
    place = next(index for index, line in enumerate(lines) if _SENTENCE in line)
    lines[place] = f"      {harm}{_SENTENCE} (Wording {number}.)"
    path.write_text("\n".join(lines) + "\n")


class Shipping:
    """Ships one release of each feature after the other, each feature in a thread of its own, until told to stop."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self._settings = settings
        self._folder = folder
        self._leave = threading.Event()
        self._threads = [Played(self._ship, name) for name in (GOOD, BAD)]
        self._lock = threading.Lock()
        self.ended: list[EndedRollout] = []
        self.pauses: dict[str, str] = {}
        """Why rollouts paused, by rollout and step."""

    def prologue(self) -> None:
        """Make both features' first releases stable."""
        (self._folder / "upstream.json").write_text(json.dumps(UPSTREAM))
        plane = open_control(self._settings)
        for feature in (GOOD, BAD):
            write_feature(self._folder, feature, number=1)
            plane.push(self._folder / feature)
            plane.set_pointer(feature, "#1", reason="first release")
        plane.close()

    def start(self) -> None:
        """Ship from now on."""
        for thread in self._threads:
            thread.start()

    def stop(self, timeout_seconds: float) -> bool:
        """Start no more rollouts and wait for those under way; returns whether all of them ended in time."""
        self._leave.set()
        deadline = time.monotonic() + timeout_seconds
        ended = [thread.ended(max(0.0, deadline - time.monotonic())) for thread in self._threads]
        return all(ended)

    def _ship(self, feature: str) -> None:
        number = 2
        plane: ControlPlane | None = None
        stands = "idle"
        while not self._leave.is_set() or stands == "under way":
            try:
                plane = plane or open_control(self._settings)
                stands = self._step(plane, feature, number)
                number += stands == "ended"
            except _PASSING:
                time.sleep(_AGAIN_SECONDS)
            time.sleep(_LOOK_SECONDS)
        if plane is not None:
            plane.close()

    def _newest(self, plane: ControlPlane, feature: str) -> tuple[str, Rollout] | None:
        found = plane.rollouts(feature)
        return (found[0].candidate, found[0].rollout) if found else None

    def _step(self, plane: ControlPlane, feature: str, number: int) -> Literal["under way", "ended"]:
        """Look at release `number`'s rollout, or start it, and return how it stands. Safe to repeat."""
        newest = self._newest(plane, feature)
        if newest is None or newest[0] != f"{feature}#{number}":
            with self._lock:
                write_feature(self._folder, feature, number=number)
                plane.push(self._folder / feature)
            plane.start_rollout(feature, f"#{number}", reason="chaos")
            return "under way"
        rollout = newest[1]
        if rollout.state == "paused":
            self.pauses[f"{newest[0]}, step {rollout.stage + 1}"] = f"{rollout.pause_reason}: {rollout.reason}"
            if rollout.pause_reason != "no_data":
                plane.command_rollout(rollout.id, "resume", reason="a person looked")
        if rollout.ended_at_ms is None:
            return "under way"
        self.ended.append(EndedRollout(feature, rollout.state, rollout.reason))
        return "ended"
