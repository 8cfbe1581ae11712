"""A control plane over shipped parts: state in memory, files in a temporary folder, time that moves when told."""

from __future__ import annotations

from importlib.resources import as_file, files
from shutil import copytree, ignore_patterns
from typing import TYPE_CHECKING

import pytest

from trimtab.control.plane import ControlPlane
from trimtab.core.clock import FakeClock
from trimtab.rollout.controller import CONSUMER, Controller, ControllerPorts
from trimtab.rollout.files import JournalEvents, SnapshotFiles
from trimtab.serving.directory import DataDirectory
from trimtab.storage.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from trimtab.rollout.model import Rollout


TRIAL_PLAN = """\
window: 1s
minUnits: 5
metrics:
  - {name: error, margin: 0.02}
  - {name: schema, margin: 0.02}
  - {name: latency, role: signal, margin: 0.1}
steps:
  - shadow: {traffic: 100, duration: 5s}
  - setWeight: 50
  - pause: {duration: 1h}
"""


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def directory(tmp_path: Path) -> DataDirectory:
    return DataDirectory(tmp_path / "data")


@pytest.fixture
def plane_of(store: MemoryStore, directory: DataDirectory, clock: FakeClock) -> Callable[[str], ControlPlane]:
    """Makes a control plane of an environment; all share one store."""

    def make(environment: str) -> ControlPlane:
        publisher = SnapshotFiles(directory)
        return ControlPlane(
            store=store, publisher=publisher, directory=directory, clock=clock, environment=environment, actor="ada"
        )

    return make


@pytest.fixture
def plane(plane_of: Callable[[str], ControlPlane]) -> ControlPlane:
    return plane_of("production")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The example feature `support-reply`."""
    target = tmp_path / "support-reply"
    with as_file(files("trimtab.demo") / "support-reply") as example:
        copytree(example, target, ignore=ignore_patterns("__pycache__"))
    return target


@pytest.fixture
def edit(folder: Path) -> Callable[[str], None]:
    """Replaces the tone of the example."""

    def change(tone: str) -> None:
        (folder / "partials" / "tone.md").write_text(f"{tone}\n")

    return change


@pytest.fixture
def serving(plane: ControlPlane, folder: Path, edit: Callable[[str], None]) -> ControlPlane:
    """Release 1 is stable in production, release 2 is pushed."""
    plane.push(folder, message="first")
    plane.set_pointer("support-reply", "#1", reason="first release")
    edit("Be long, cold and vague.")
    plane.push(folder, message="second")
    return plane


@pytest.fixture
def tick(store: MemoryStore, directory: DataDirectory, clock: FakeClock) -> Callable[[], None]:
    """Lets a controller do all that is to be done now."""
    ports = ControllerPorts(
        store=store,
        events=JournalEvents(directory.journals, consumer=CONSUMER),
        publisher=SnapshotFiles(directory),
        clock=clock,
    )
    controller = Controller(ports, holder="test")

    def work() -> None:
        while controller.tick().more:
            pass

    return work


@pytest.fixture
def trial(serving: ControlPlane, folder: Path) -> Rollout:
    """Release 2 is about to be tried: in shadow, then on half of the users."""
    (folder / "rollout.yaml").write_text(TRIAL_PLAN)
    serving.push(folder)
    return serving.start_rollout("support-reply", "#2", reason="Chattier")
