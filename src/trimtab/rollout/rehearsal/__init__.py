"""Rehearsing a plan before users meet it: the real state machine and the real evidence, over simulated users."""

from trimtab.rollout.rehearsal.crowd import Crowd, parse_traffic
from trimtab.rollout.rehearsal.faults import Fault, parse_fault
from trimtab.rollout.rehearsal.measured import Measured, measured_baseline
from trimtab.rollout.rehearsal.outcomes import Baseline, Rate, Spread, default_baseline
from trimtab.rollout.rehearsal.report import RehearsalReport, ScenarioSummary, Share, Spell, rehearsal_work, rehearse
from trimtab.rollout.rehearsal.run import Run
from trimtab.rollout.rehearsal.scene import RunResult, Scene
from trimtab.rollout.rehearsal.strength import MetricStrength

__all__ = [
    "Baseline",
    "Crowd",
    "Fault",
    "Measured",
    "MetricStrength",
    "Rate",
    "RehearsalReport",
    "Run",
    "RunResult",
    "ScenarioSummary",
    "Scene",
    "Share",
    "Spell",
    "Spread",
    "default_baseline",
    "measured_baseline",
    "parse_fault",
    "parse_traffic",
    "rehearsal_work",
    "rehearse",
]
