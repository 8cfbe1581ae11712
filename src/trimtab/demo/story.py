"""The demo's plot: the same commands a user would type, run for real, and waiting for what they bring about."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

import msgspec

from trimtab.control.rollout_reports import RolloutReport
from trimtab.core.errors import TrimtabError
from trimtab.demo.scenario import Act

if TYPE_CHECKING:
    from pathlib import Path

    from trimtab.control.plane import ControlPlane
    from trimtab.demo.scenario import Scenario

__all__ = ["ActResult", "Story"]

_POLL_SECONDS = 0.25
_ACT_SECONDS = 240.0


class ActResult(msgspec.Struct, frozen=True, kw_only=True):
    """How an act ended."""

    act: Act
    report: RolloutReport

    @property
    def as_expected(self) -> bool:
        """Whether the rollout ended in the state the act tells."""
        return self.report.rollout.state == self.act.expected


class Story:
    """Tells a scenario; `lines` is what has been said so far.

    Each step looks at the store first, so that an interrupted demo goes on where it was.
    """

    def __init__(self, scenario: Scenario, folder: Path, plane: ControlPlane, environment: dict[str, str]) -> None:
        self._scenario = scenario
        self._folder = folder
        self._plane = plane
        self._environment = environment
        self.lines: list[str] = []
        self.current: RolloutReport | None = None
        self.results: list[ActResult] = []

    def say(self, text: str) -> None:
        """Add a line of narration."""
        self.lines.append(text)

    async def prologue(self) -> None:
        """Store every feature's first version and point the environment at it."""
        self._scenario.write(self._folder)
        for feature in self._scenario.features:
            if self._plane.pointer(feature) is None:
                self.say(f"{feature} ships its first version.")
                await self.command("push", feature, "-m", "First version")
                await self.command("environment", "set", feature, "#1", "--reason", "first release")

    async def play(self) -> None:
        """Play every act that has not ended yet."""
        for act in self._scenario.acts:
            report = self._newest(act)
            if report is None:
                self.say("")
                self.say(act.headline)
                for edit in act.edits:
                    edit.apply(self._folder / act.feature)
                await self.command("push", act.feature, "-m", act.message)
                await self.command("rollout", "start", act.feature, f"#{act.number}", "--reason", act.message)
            report = await self._until_ended(act)
            self.results.append(ActResult(act=act, report=report))
            self.say(f"{report.candidate} {report.rollout.state.replace('_', ' ')}: {report.rollout.reason}")

    async def command(self, *arguments: str) -> str:
        """Run a `trimtab` command in the demo's folder, tell it and what it printed; returns its stdout."""
        quoted = " ".join(f"'{a}'" if " " in a or "#" in a else a for a in arguments)
        self.say(f"$ trimtab {quoted}")
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "trimtab", *arguments),
            cwd=self._folder,
            env=self._environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        for line in out.decode().splitlines():
            self.say(f"  {line}")
        if process.returncode not in (0, 1):
            raise TrimtabError(
                "demo_command_failed",
                f"`trimtab {quoted}` ended with status {process.returncode}",
                hint=err.decode().strip(),
            )
        return out.decode()

    def _newest(self, act: Act) -> RolloutReport | None:
        for summary in self._plane.rollouts(act.feature):
            if summary.candidate == f"{act.feature}#{act.number}":
                return self._plane.rollout_report(summary.rollout.id)
        return None

    async def _until_ended(self, act: Act) -> RolloutReport:
        told = 0
        async with asyncio.timeout(_ACT_SECONDS):
            while True:
                report = await asyncio.to_thread(self._newest, act)
                if report is not None:
                    self.current = report
                    for transition in report.transitions[told:]:
                        if transition.to_state != act.expected:
                            self.say(f"  {transition.to_state.replace('_', ' ')}: {transition.reason}")
                    told = len(report.transitions)
                    if report.rollout.ended_at_ms is not None:
                        return report
                await asyncio.sleep(_POLL_SECONDS)
